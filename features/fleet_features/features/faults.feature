Feature: A model's server that misbehaves

  @scripted @faults
  Scenario Outline: What passes is retried within the call's slice
    Given a plan of one task
    And <what happens>
    When the plan is run
    Then task store is decided
    And the decision of task store lacks nobody
    And the proposal of agent 2 for task store took <calls> calls

    Examples:
      | what happens                                          | calls |
      | agent 2 is asked to wait 0.2 s once                   | 2     |
      | the server of agent 2 fails with status 500 2 times   | 3     |
      | the server of agent 2 fails with status 503 1 times   | 2     |
      | the answer of agent 2 is cut off once                 | 2     |

  @scripted @faults
  Scenario Outline: What does not pass is a failed job with its reason, never invented text
    Given a plan of one task
    And agent 3 is refused with status <status>
    When the plan is run
    Then task store is decided
    And agent 3 does not win task store
    And the proposal of agent 3 for task store failed as <code> because "<status>"
    And agent 3 was asked <calls> times to propose

    Examples: what may pass is tried again, what will not is not
      | status | code              | calls |
      | 500    | model_unavailable | 4     |
      | 429    | rate_limited      | 4     |
      | 401    | model_refused     | 1     |

  @scripted @faults
  Scenario: An answer that is cut off is a failed job, never half an answer
    Given a plan of one task
    And the answer of agent 3 is cut off every time
    When the plan is run
    Then task store is decided
    And agent 3 does not win task store
    And the proposal of agent 3 for task store failed as stream_cut because "cut"
