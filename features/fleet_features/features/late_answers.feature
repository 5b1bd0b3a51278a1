Feature: A decision without everybody is provisional until the last answer, or the deadline

  The agreement of two texts outweighs one that stands alone, so a late third answer can change a
  vote; of two single texts the one whose hash sorts first wins.

  @scripted
  Scenario: A late answer amends a provisional decision
    Given a plan of one task
    And the protocol is vote
    And agent 1 proposes "Keep one file."
    And agent 2 proposes "Keep a table."
    And agent 3 proposes "Keep a table."
    And agent 3 answers after 1200 ms
    And a step waits 300 ms for its answers
    When the plan is run
    Then a provisional decision of task store went to agent 1
    And the decision of task store was amended to agent 2
    And task store is decided
    And agent 2 wins task store
    And the decision of task store lacks nobody

  @scripted
  Scenario: A late answer that changes nothing amends nothing
    Given a plan of one task
    And the protocol is vote
    And agent 1 proposes "Keep one file."
    And agent 2 proposes "Keep a table."
    And agent 3 proposes "Keep one file."
    And agent 3 answers after 1200 ms
    And a step waits 300 ms for its answers
    When the plan is run
    Then a provisional decision of task store went to agent 1
    And the decision of task store was not amended
    And task store is decided
    And agent 1 wins task store
    And the decision of task store lacks nobody
