"""All Cypher of the graph: constant texts, every value a parameter.

A writer holds the story's node until its transaction is applied, and so does whoever reads a
neighbourhood: Neo4j isolates no more than single reads, and would show half of a write. Setting a
property to the value that it has takes that lock and writes nothing.

Only the current decision of a task has `current_story`, and so only current ones are in the indexes
that begin with it. Relations AFFECTS repeat what they are searched by.
"""

from __future__ import annotations

from typing import LiteralString

REVISION: LiteralString = """
MATCH (story:Story {story: $story}) RETURN story.revision AS revision
"""

# Holds the story, and makes it where it is not known; what of the rest is known already.
LOCK: LiteralString = """
MERGE (story:Story {story: $story})
ON CREATE SET story.revision = 0
SET story.name = $name
WITH story
CALL () {
  UNWIND $plan_ids AS plan_id
  MATCH (plan:Plan {story: $story, plan_id: plan_id})
  RETURN collect(plan.plan_id) AS plans
}
CALL () {
  UNWIND $decision_ids AS decision_id
  MATCH (decision:Decision {decision_id: decision_id})
  RETURN collect(decision.decision_id) AS decisions
}
RETURN story.revision AS revision, plans, decisions
"""

WRITE_PLANS: LiteralString = """
MATCH (story:Story {story: $story})
SET story.revision = $revision
WITH story
UNWIND $rows AS row
CREATE (story)-[:HAS_PLAN]->(plan:Plan)
SET plan = row.node
WITH row, plan
UNWIND row.tasks AS given
MERGE (task:Task {story: $story, plan_id: row.node.plan_id, task_id: given.task_id})
SET task.number = given.number, task.role = given.role, task.title = given.title,
    task.document = given.document
CREATE (plan)-[:HAS_TASK]->(task)
"""

WRITE_DEPENDENCIES: LiteralString = """
UNWIND $rows AS row
MATCH (task:Task {story: $story, plan_id: row.plan_id, task_id: row.task_id})
MATCH (other:Task {story: $story, plan_id: row.plan_id, task_id: row.on})
CREATE (task)-[:DEPENDS_ON]->(other)
"""

SUPERSEDE: LiteralString = """
UNWIND $places AS place
MATCH (old:Decision {
  current_story: $story, plan_id: place.plan_id, task_id: place.task_id
})
REMOVE old.current_story, old.told_by, old.told_head, old.told_rest
WITH old
OPTIONAL MATCH (old)-[affects:AFFECTS]->()
REMOVE affects.current_story
RETURN DISTINCT old.plan_id AS plan_id, old.task_id AS task_id, old.decision_id AS decision_id
"""

# A decision can come before its plan, and then makes the bare node of its task.
WRITE_DECISIONS: LiteralString = """
MATCH (story:Story {story: $story})
SET story.revision = $revision
WITH story
UNWIND $rows AS row
MERGE (task:Task {story: $story, plan_id: row.node.plan_id, task_id: row.node.task_id})
CREATE (task)-[:DECIDED_BY]->(decision:Decision)
SET decision = row.node, decision.current_story = $story
WITH row, decision
CALL (row, decision) {
  UNWIND row.superseded AS decision_id
  MATCH (old:Decision {decision_id: decision_id})
  CREATE (decision)-[:SUPERSEDES]->(old)
}
CALL (row, decision) {
  UNWIND row.affects AS task_id
  MERGE (affected:Task {story: $story, plan_id: row.node.plan_id, task_id: task_id})
  CREATE (decision)-[:AFFECTS {
    current_story: $story, task_id: task_id, plan_id: row.node.plan_id,
    recorded_ms: row.node.recorded_ms, decision_id: row.node.decision_id
  }]->(affected)
}
CALL (row, decision) {
  UNWIND row.evidence AS found
  CREATE (decision)-[:SUPPORTED_BY]->(evidence:Evidence)
  SET evidence = found
}
CALL (row, decision) {
  UNWIND row.dissent AS said
  MERGE (agent:Agent {story: $story, agent_id: said.agent_id})
  CREATE (agent)-[:DISSENTED_FROM {preferred: said.preferred, reason: said.reason}]->(decision)
}
"""

# After the decisions of a batch, so that one can cite another of them.
WRITE_CITED: LiteralString = """
UNWIND $rows AS row
MATCH (decision:Decision {decision_id: row.decision_id})
MATCH (earlier:Decision {decision_id: row.cited})
CREATE (decision)-[:CITED]->(earlier)
"""

# Each order is an index's own, so that a page costs what it holds and not what there is.
_AROUND: LiteralString = """
WITH story.revision AS revision
CALL () {
  UNWIND range(0, size($ancestors) - 1) AS place
  MATCH (d:Decision {current_story: $story, plan_id: $plan_id, task_id: $ancestors[place]})
  WITH d ORDER BY place
  RETURN collect(d.decision_id) AS ancestors
}
CALL () {
  MATCH ()-[a:AFFECTS]->()
  WHERE a.current_story = $story AND a.task_id = $task_id AND a.recorded_ms < $before_ms
    AND a.decision_id IS NOT NULL AND a.plan_id <> $plan_id
  WITH a
  ORDER BY a.current_story DESC, a.task_id DESC, a.recorded_ms DESC, a.decision_id DESC
  LIMIT $limit
  RETURN collect(a.decision_id) AS affecting
}
CALL (affecting) {
  MATCH (d:Decision)
  WHERE d.current_story = $story AND d.role = $role AND d.recorded_ms < $before_ms
    AND d.decision_id IS NOT NULL AND d.plan_id <> $plan_id AND NOT d.decision_id IN affecting
  WITH d
  ORDER BY d.current_story DESC, d.role DESC, d.recorded_ms DESC, d.decision_id DESC
  LIMIT $limit
  RETURN collect(d.decision_id) AS siblings
}
CALL (affecting, siblings) {
  MATCH (d:Decision)
  WHERE d.current_story = $story AND d.recorded_ms < $before_ms
    AND d.decision_id IS NOT NULL AND d.plan_id <> $plan_id
    AND NOT d.decision_id IN affecting AND NOT d.decision_id IN siblings
  WITH d
  ORDER BY d.current_story DESC, d.recorded_ms DESC, d.decision_id DESC
  LIMIT $titles
  RETURN collect(d.decision_id) AS timeline
}
CALL () {
  MATCH (p:Plan)
  WHERE p.story = $story AND p.approved_ms < $before_ms AND p.plan_id IS NOT NULL
    AND p.plan_id <> $plan_id
  WITH p
  ORDER BY p.story DESC, p.approved_ms DESC, p.plan_id DESC
  LIMIT $limit
  RETURN collect([
    p.summary, CASE WHEN p.summary IS NULL THEN p.document END, COUNT {
      MATCH (d:Decision)
      WHERE d.current_story = $story AND d.plan_id = p.plan_id AND d.task_id IS NOT NULL
        AND d.recorded_ms < $before_ms
    }
  ]) AS plans
}
RETURN revision, ancestors, affecting, siblings, timeline, plans
"""

NEIGHBOURHOOD: LiteralString = "MATCH (story:Story {story: $story})" + _AROUND

NEIGHBOURHOOD_HELD: LiteralString = (
    "MATCH (story:Story {story: $story}) SET story.name = $name" + _AROUND
)

TOLD: LiteralString = """
UNWIND $decision_ids AS decision_id
MATCH (decision:Decision {decision_id: decision_id, told_by: $told_by})
RETURN collect([
  decision.decision_id, decision.told_head,
  CASE WHEN decision_id IN $whole THEN decision.told_rest END
]) AS told
"""

DOCUMENTS: LiteralString = """
UNWIND $decision_ids AS decision_id
MATCH (decision:Decision {decision_id: decision_id})
RETURN decision.decision_id AS decision_id, decision.document AS document
"""

PLAN_DOCUMENT: LiteralString = """
MATCH (plan:Plan {plan_id: $plan_id}) RETURN plan.document AS document LIMIT 1
"""

STORIES: LiteralString = """
MATCH (story:Story) WHERE story.story > $after
RETURN story.name AS name ORDER BY story.story LIMIT $limit
"""

PLANS: LiteralString = """
MATCH (plan:Plan) WHERE plan.story = $story AND plan.revision > $after
RETURN plan.revision AS revision, plan.document AS document ORDER BY plan.revision LIMIT $limit
"""

DECISIONS: LiteralString = """
MATCH (decision:Decision) WHERE decision.story = $story AND decision.revision > $after
RETURN decision.revision AS revision, decision.recorded_ms AS recorded_ms,
       decision.document AS document, [(decision)-[:SUPERSEDES]->(old) |
         [old.decision_id, CASE WHEN old.decision_id STARTS WITH $hashed THEN old.document END]
       ] AS superseded
ORDER BY decision.revision LIMIT $limit
"""

PRUNE: LiteralString = """
MATCH (decision:Decision)
WHERE decision.story = $story AND decision.revision > 0 AND decision.current_story IS NULL
  AND decision.recorded_ms < $before_ms
WITH decision LIMIT $limit
OPTIONAL MATCH (decision)-[:SUPPORTED_BY]->(evidence:Evidence)
DETACH DELETE evidence
WITH DISTINCT decision
DETACH DELETE decision
RETURN count(decision) AS dropped
"""
