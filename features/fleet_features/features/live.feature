Feature: The profile's own model deliberates

  @live
  Scenario: The built-in first plan is decided by a real model
    Given the built-in plan first
    And the profile's own model
    When the plan is run
    Then every task has ended honestly
    And every job that failed says why
    And where task last is decided, every prompt of task average holds that decision
