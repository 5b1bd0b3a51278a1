Feature: A lease bounds what a deliberation may take

  @scripted @clock
  Scenario: At its deadline a deliberation ends with what it has, and says so
    Given a plan of one task
    And agent 1 never answers
    And agent 2 never answers
    And the lease ends after 4000 ms
    When the plan is run
    Then task store is decided
    And agent 3 wins task store
    And the reader of task store is told "the deadline came with 2 jobs unanswered"

  @scripted @clock
  Scenario: Where nobody has answered by the deadline, the task fails
    Given a plan of one task
    And no agent ever answers
    And the lease ends after 4000 ms
    When the plan is run
    Then task store is failed
    And task store failed because "no proposal stands"
    And nothing is decided for task store

  @scripted
  Scenario: Out of tokens a deliberation ends with what it has, and says so
    Given a plan of one task
    And the lease has 2600 tokens
    When the plan is run
    Then task store is decided
    And the reader of task store is told "the lease did not cover step"
    And the lease was not overspent

  @scripted
  Scenario: A lease that does not cover the first step fails the task without a call
    Given a plan of one task
    And the lease has 300 tokens
    When the plan is run
    Then task store is failed
    And task store failed because "the lease did not cover step 'propose'"
    And nothing is decided for task store
    And nothing was asked

  @scripted
  Scenario: A plan is cancelled: its task ends, and what waits does not start
    Given the plan
      """
      story: notes
      tasks:
        - {id: store, title: Choose where notes are kept, role: DEV}
        - {id: try, title: Say how it is tested, role: QA, depends_on: [store]}
      """
    And no agent ever answers
    When the plan is approved
    And 3 calls are under way
    And the plan is cancelled because "the story was dropped"
    And the plan has ended
    Then task store is cancelled
    And task store failed because "the story was dropped"
    And task try ended as cancelled without a call
    And no job is active

  @scripted @faults
  Scenario: Cancelled calls really stop at the server
    Given a plan of one task
    And no agent ever answers
    When the plan is approved
    And 3 calls are in flight
    And the plan is cancelled because "the story was dropped"
    And the plan has ended
    Then the server saw 3 calls broken off and none goes on
