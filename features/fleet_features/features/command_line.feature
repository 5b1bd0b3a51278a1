Feature: The command `fleet run`

  @scripted
  Scenario: It takes a plan to recorded decisions and writes a report
    Given the plan
      """
      story: notes
      tasks:
        - {id: store, title: Choose where notes are kept, role: DEV}
        - {id: try, title: Say how it is tested, role: QA, depends_on: [store]}
      """
    And agent 2 proposes "Keep them in a file: GOLD."
    And the judge prefers "GOLD"
    When the command runs the plan
    Then it exits with 0
    And the report says of task store: decided, dev-2, unverified, 10 calls
    And the report says of task try: decided, qa-2, unverified, 10 calls
    And the report for people holds "Keep them in a file: GOLD."

  @scripted
  Scenario: It says which task failed, and why
    Given a plan of one task
    And every agent is refused with status 400
    When the command runs the plan
    Then it exits with 1
    And the report says of task store: failed, nobody, -, 3 calls
    And the report for people holds "no proposal stands"

  @scripted
  Scenario: It refuses a malformed plan with one message, and nothing is begun
    Given the plan
      """
      story: notes
      tasks:
        - {id: store, title: Choose where notes are kept, role: DVE}
      """
    When the command runs the plan
    Then it exits with 2
    And it said in one line "tasks[0].role: role 'DVE' has no council (did you mean DEV?)"
    And there is no report

  @scripted @durable
  Scenario: Given a plan that is decided, it says so and makes no call
    Given a plan of one task
    When the command runs the plan
    And the command runs the plan again
    Then it exits with 0
    And it said "this plan is decided already; no call was made"
    And the second command made no call

  @scripted @durable @faults
  Scenario: Interrupted, it goes on where it was
    Given a plan of one task
    And agent 2 answers after 1500 ms
    And claims of a process that is gone lapse soon
    When the command is interrupted as 1 call is left in flight
    Then it exits with 130
    When the command runs the plan
    Then it exits with 0
    And only calls that were broken off were made again
