Feature: What ran beats what was argued

  @scripted
  Scenario Outline: A proposal that fails its examples never wins, though everybody votes for it
    Given a plan of one task with the check
      """
      kind: python
      entry: double
      examples:
        - {args: [2], returns: 4}
        - {args: [-3], returns: -6}
      """
    And the protocol is <protocol>
    And everybody else proposes the code
      """
      def double(n):
          return n * n  # ADMIRED
      """
    And agent <right> proposes the code
      """
      def double(n):
          return n + n
      """
    And every ballot prefers "ADMIRED"
    And the judge prefers "ADMIRED"
    When the plan is run
    Then agent <right> wins task store
    And evidence settled task store
    And the decision of task store is verified

    Examples:
      | protocol    | right |
      | peer-review | 1     |
      | peer-review | 2     |
      | peer-review | 3     |
      | vote        | 1     |
      | vote        | 2     |
      | vote        | 3     |

  @scripted
  Scenario: A decision that nothing was run for says so
    Given a plan of one task
    When the plan is run
    Then the decision of task store is unverified

  @scripted
  Scenario: A decision whose check failed says so
    Given a plan of one task with the check
      """
      kind: python
      entry: double
      examples:
        - {args: [2], returns: 4}
        - {args: [-3], returns: -6}
      """
    And everybody else proposes the code
      """
      def double(n):
          return n * n
      """
    When the plan is run
    Then task store is decided
    And the decision of task store is refuted
    And the evidence on agent 1 of task store says "1 of 2 examples passed"

  @scripted
  Scenario: A required check that nobody passes fails the task
    Given a plan of one task with the check
      """
      kind: python
      required: true
      entry: double
      examples:
        - {args: [-3], returns: -6}
      """
    And everybody else proposes the code
      """
      def double(n):
          return n * n
      """
    When the plan is run
    Then task store is failed
    And task store failed because "no proposal passed the required python"
    And nothing is decided for task store

  @scripted
  Scenario: A required check that one passes decides for that one
    Given a plan of one task with the check
      """
      kind: python
      required: true
      entry: double
      examples:
        - {args: [-3], returns: -6}
      """
    And everybody else proposes the code
      """
      def double(n):
          return n * n
      """
    And agent 2 proposes the code
      """
      def double(n):
          return n + n
      """
    When the plan is run
    Then agent 2 wins task store
    And the decision of task store is verified
