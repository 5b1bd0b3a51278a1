Feature: What the fleet knows outlives its process

  @scripted @durable
  Scenario: A fleet that was closed knows its decided plans, and makes no call for them
    Given a plan of one task
    When the plan is run
    And the fleet is closed and started again
    And the plan is run again
    Then the fleet says that it is decided, and makes no call

  @scripted @durable @faults
  Scenario: A plan under way goes on where a fleet that was closed left it
    Given the plan
      """
      story: notes
      tasks:
        - {id: store, title: Choose where notes are kept, role: DEV}
        - {id: try, title: Say how it is tested, role: QA, depends_on: [store]}
      """
    And agent 2 leaves its first call for task store without an answer
    When the plan is approved
    And 1 calls are in flight
    And the fleet is closed and started again
    And the plan has ended
    Then every task is decided
    And only calls that were broken off were made again

  @scripted @durable @faults
  Scenario Outline: After a kill no call whose answer had been kept is made again
    Given the plan
      """
      story: notes
      tasks:
        - {id: store, title: Choose where notes are kept, role: DEV}
        - {id: try, title: Say how it is tested, role: QA, depends_on: [store]}
      """
    And claims of a process that is gone lapse soon
    And each answer takes 40 ms
    When the fleet runs the plan in a process of its own
    And that process is killed as the server answers call <call>
    And the fleet is started again on what that process left
    Then every task is decided
    And no call whose answer had been kept was made again

    Examples: in a step of several calls, at the judge, in the dependent task
      | call |
      | 2    |
      | 8    |
      | 10   |
      | 15   |
