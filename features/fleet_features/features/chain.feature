Feature: The chain from an approved plan to recorded decisions

  @scripted @durable
  Scenario: A plan goes hop by hop from its approval to its recorded decision
    Given a plan of one task
    And agent 2 proposes "Keep them in a file: GOLD."
    And the judge prefers "GOLD"
    And each answer takes 300 ms
    When the command submits the plan
    Then it exits with 0
    And the log holds the approval of the whole plan, and nothing else
    When the fleet is started
    And 3 calls are under way
    Then whoever asks about task store is told running, at step propose
    When the plan has ended
    Then agent 2 wins task store
    And the executor says that every job of task store ended well, in the profile's own runner
    And every place was asked once
    And every result of task store is in the log once, as it is journaled
    And the log of task store begins with started, ends with completed, and folds to its state
    And the graph holds the decision of task store, and context.updated names it
    And whoever asks about task store is told decided, by agent 2
    And every service says that it runs on the Python it was given

  @scripted @durable @browser
  Scenario: A plan goes through the chain before the eyes of whoever watches
    Given a plan of one task
    And agent 2 proposes "Keep them in a file: GOLD."
    And the judge prefers "GOLD"
    And each answer takes 1500 ms
    When the fleet is started
    And the dashboard is open
    And the plan is approved
    Then the dashboard shows task store running, at step propose
    When the plan has ended
    Then agent 2 wins task store
    And the dashboard shows task store decided, won by agent 2, without a reload
