Feature: A council finds the better proposal, whoever made it

  @scripted
  Scenario Outline: The judge finds a planted better proposal in every seat, against all ballots
    Given a plan of one task
    And the better proposal comes from seat <seat> and says "GOLD"
    And the judge prefers "GOLD"
    And every ballot prefers "<other>"
    When the plan is run
    Then agent <seat> wins task store
    And judge settled task store
    And the decision of task store says "GOLD"

    Examples:
      | seat | other   |
      | 1    | seat 2. |
      | 2    | seat 3. |
      | 3    | seat 1. |

  @scripted
  Scenario Outline: Without a judge, ballots alone find a planted better proposal in every seat
    Given a plan of one task
    And there is no judge
    And the better proposal comes from seat <seat> and says "GOLD"
    And every ballot prefers "GOLD"
    When the plan is run
    Then agent <seat> wins task store
    And ballots settled task store

    Examples:
      | seat |
      | 1    |
      | 2    |
      | 3    |

  @scripted
  Scenario Outline: In a vote the answer that most agents give wins, whichever seat is the odd one
    Given a plan of one task
    And the protocol is vote
    And every seat but <odd> says "Keep one file."
    When the plan is run
    Then agent <odd> does not win task store
    And support settled task store
    And the decision of task store says "Keep one file."

    Examples: by the order of hashes alone, the odd one would win each time
      | odd |
      | 1   |
      | 2   |
      | 3   |

  @scripted @clock
  Scenario: A slow agent does not sink the council
    Given a plan of one task
    And agent 2 never answers
    And a step waits 300 ms for its answers
    And the lease ends after 5000 ms
    When the plan is run
    Then task store is decided
    And agent 2 does not win task store
    And the decision of task store lacks agent 2
    And the reader of task store is told "closed at its deadline without 1 of 3 answers"

  @scripted
  Scenario Outline: An agent whose model fails does not sink the council
    Given a plan of one task
    And <what happens>
    When the plan is run
    Then task store is decided
    And agent 3 does not win task store
    And the decision of task store lacks nobody
    And the proposal of agent 3 for task store failed as <code> because "<reason>"

    Examples:
      | what happens                        | code             | reason |
      | agent 3 is refused with status 400  | model_refused    | 400    |
      | agent 3 answers with broken JSON    | malformed_answer | JSON   |
      | agent 3 answers with nothing        | empty_answer     | no text |

  @scripted
  Scenario: Where every agent fails, so does the task, and nothing is invented
    Given a plan of one task
    And every agent is refused with status 400
    When the plan is run
    Then task store is failed
    And task store failed because "no proposal stands: model_refused"
    And task store failed because "(3 of 3)"
    And nothing is decided for task store
