Feature: Bad input is refused with field, reason and way out

  @scripted
  Scenario Outline: A malformed plan
    Given the plan file <document>
    When it is read
    Then it is refused at "<field>" with "<message>" and the way out "<hint>"

    Examples:
      | document | field | message | hint |
      | story: s\ntasks: [{id: a, title: t, role: DVE}] | tasks[0].role | no council | DEV |
      | story: s\ntasks: [{id: a, title: t, role: DEV}, {id: a, title: u, role: QA}] | tasks[1].id | used twice | own id |
      | story: s\ntasks: [{id: a b, title: t, role: DEV}] | tasks[0].id | not allowed | letters |
      | story: s\ntasks: [{id: a, title: t, role: DEV, depends_on: [b]}] | tasks[0].depends_on | not in the plan | a |
      | story: s\ntasks: [{id: a, title: t, role: DEV, depends_on: [b]}, {id: b, title: u, role: DEV, depends_on: [a]}] | tasks | circle | remove one |
      | story: s\ntasks: [{id: a, title: t, role: DEV, depends_on: [a]}] | tasks | circle | remove one |
      | story: s\ntasks: [] | tasks | empty | at least one task |
      | story: s | tasks | missing | add tasks |
      | tasks: [{id: a, title: t, role: DEV}] | story | missing | add story |
      | story: 7\ntasks: [{id: a, title: t, role: DEV}] | story | should be text | quotes |
      | story: s\ntasks: {id: a} | tasks | should be a list | begin each with |
      | story: s\ntasks: [{id: a, title: t, role: DEV, depend_on: [b]}] | tasks[0].depend_on | unknown key | depends_on |
      | story: s\ntasks: [{id: a, title: t, role: DEV, acceptance: fast}] | tasks[0].acceptance | should be a list | acceptance: [...] |
      | story: s\ntasks: [{id: a, title: t, role: DEV, checks: [{kind: python, required: 1, entry: f, tests: x}]}] | tasks[0].checks[0].required | true or false | - |
      | story: s\ntasks: [{id: a, title: t, role: DEV, checks: [{kind: python, entry: f}]}] | tasks[0].checks[0].examples | nothing to check | give examples |
      | story: s\nstory: t\ntasks: [{id: a, title: t, role: DEV}] | story | twice | keep one |
      | story: [s | - | is not YAML | syntax |

  @scripted
  Scenario: A plan of more than 1 MiB
    Given a plan file of more than 1 MiB
    When it is read
    Then it is refused at "-" with "over the limit of 1048576" and the way out "split the plan"

  @scripted
  Scenario: A plan that is not UTF-8
    Given a plan file that is not UTF-8
    When it is read
    Then it is refused at "-" with "is not UTF-8" and the way out "save the file as UTF-8"

  @scripted
  Scenario: A plan file that is not there
    When it is read
    Then it is refused at "-" with "no such file" and the way out "built-in plans"

  @scripted
  Scenario Outline: A hostile event goes to the dead letters, and nothing crashes
    When the event <subject> arrives with <data>
    Then it is among the dead letters because of "<reason>"
    And the fleet goes on: another plan is decided

    Examples:
      | subject | data | reason |
      | planning.plan.approved | {"plan_id": "p"} | plan |
      | planning.plan.approved | {} | plan |
      | planning.plan.approved | {"plan_id": "p", "plan": []} | plan |
      | planning.plan.approved | {"plan_id": "p", "plan": {"story": "s", "title": "t", "tasks": [{"task_id": "a", "title": "t", "role": "DEV"}]}} | not the plan's id |
      | planning.plan.approved | {"ref": "sha256:0000000000000000000000000000000000000000000000000000000000000000"} | blob |
      | planning.plan.approved | {"ref": 7} | 7 |
      | agent.results.x | {} | job_id |
      | agent.results.x | {"job_id": 1, "outcome": []} | job_id |
      | agent.results.x | {"job_id": "j", "deliberation_id": "nowhere", "task": "x", "key": {"round": 1, "step": "propose", "agent": 1}, "outcome": "ok"} | no deliberation nowhere |
      | orchestration.deliberation.completed | {"plan_id": "p", "phase": "sideways"} | phase |
      | orchestration.deliberation.completed | {"decision": {"winner": 3}} | decision |
      | context.updated | {"task_id": 5} | task_id |

  @scripted
  Scenario: An approved plan whose role has no council goes to the dead letters
    When a plan for the role NOBODY is approved
    Then it is among the dead letters because of "role 'NOBODY' has no council"
    And the fleet goes on: another plan is decided
