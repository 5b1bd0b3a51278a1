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

  @scripted @faults
  Scenario Outline: What does not pass is a failed job with its reason, never invented text
    Given a plan of one task
    And <what happens>
    When the plan is run
    Then task store is decided
    And agent 3 does not win task store
    And the proposal of agent 3 for task store failed as <code> because "<reason>"

    Examples:
      | what happens                             | code              | reason |
      | the answer of agent 3 is cut off every time | stream_cut        | cut |
      | agent 3 is refused with status 500       | model_unavailable | 500 |
      | agent 3 is refused with status 429       | rate_limited      | 429 |
      | agent 3 is refused with status 401       | model_refused     | 401 |
