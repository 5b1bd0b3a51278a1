Feature: An approved plan becomes recorded decisions

  @scripted
  Scenario: Every task of a plan is decided, each call made once
    Given the plan
      """
      story: notes
      title: A notebook
      tasks:
        - {id: store, title: Choose where notes are kept, role: DEV}
        - {id: try, title: Say how it is tested, role: QA}
      """
    When the plan is run
    Then every task is decided
    And every place was asked once

  @scripted
  Scenario: A dependent task is told the earlier decision word for word
    Given the plan
      """
      story: notes
      tasks:
        - {id: store, title: Choose where notes are kept, role: DEV}
        - {id: try, title: Say how it is tested, role: QA, depends_on: [store]}
        - {id: ship, title: Say how it is shipped, role: ARCHITECT, depends_on: [try]}
        - {id: beside, title: Name the thing, role: QA}
      """
    And agent 2 proposes "Keep them in a file, one line for each note, the newest last; never delete a line, only strike out. A line begins with its date and its author." for task store
    And the judge prefers "only strike out"
    When the plan is run
    Then every task is decided
    And agent 2 wins task store
    And every prompt of task try holds the decision of task store
    And every prompt of task ship holds the decision of task store
    And every prompt of task ship holds the decision of task try
    And no prompt of task beside holds the decision of task store

  @scripted
  Scenario: What depends on a failed task is blocked, and names it
    Given the plan
      """
      story: notes
      tasks:
        - {id: store, title: Choose where notes are kept, role: DEV}
        - {id: try, title: Say how it is tested, role: QA, depends_on: [store]}
        - {id: ship, title: Say how it is shipped, role: DEV, depends_on: [try]}
        - {id: beside, title: Name the thing, role: QA}
      """
    And every agent is refused with status 400 for task store
    When the plan is run
    Then task store is failed
    And task try is blocked because it "depends on 'store', which is failed"
    And task ship is blocked because it "depends on 'try', which is blocked"
    And task beside is decided

  @scripted
  Scenario: Running a decided plan again makes no call
    Given a plan of one task
    When the plan is run
    And the plan is run again
    Then the fleet says that it is decided, and makes no call
    And task store is in attempt 1

  @scripted
  Scenario: A decided plan can be decided anew
    Given a plan of one task
    When the plan is run
    And the plan is run afresh
    Then every task is decided
    And every place was asked once more
    And task store is in attempt 2

  @scripted
  Scenario: A failed task can be run again, and only that
    Given the plan
      """
      story: notes
      tasks:
        - {id: store, title: Choose where notes are kept, role: DEV}
        - {id: try, title: Say how it is tested, role: QA}
      """
    And every agent is refused with status 400 for task store
    When the plan is run
    Then task store is failed
    And task try is decided
    When the plan is run for another attempt
    Then task store is in attempt 2
    And task try is in attempt 1
    And task try was asked nothing further
