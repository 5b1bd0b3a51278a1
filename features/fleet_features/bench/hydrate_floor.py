"""What the bare drivers take to fetch the rows that a pack is made from, by one query each."""

from __future__ import annotations

import sqlite3
from typing import Any, LiteralString

from neo4j import AsyncDriver

_TOLD = "t.decision_id, t.task_id, t.title, t.standing"
SQL = f"""
WITH
 around(story) AS (SELECT id FROM story WHERE name = :story),
 own AS MATERIALIZED (
  SELECT d.id FROM decision d WHERE d.plan_id = :plan AND d.superseded_by IS NULL
   AND d.task_id IN (SELECT CAST(value AS BLOB) FROM json_each(:ancestors))),
 affecting AS MATERIALIZED (
  SELECT decision AS id FROM affects WHERE story = (SELECT story FROM around)
   AND task_id = :task AND recorded_ms < :before AND plan_id <> :plan
  ORDER BY recorded_ms DESC, decision_id DESC LIMIT :most),
 siblings AS MATERIALIZED (
  SELECT id FROM decision WHERE story = (SELECT story FROM around) AND role = :role
   AND recorded_ms < :before AND plan_id <> :plan AND superseded_by IS NULL
   AND id NOT IN (SELECT id FROM affecting)
  ORDER BY recorded_ms DESC, decision_id DESC LIMIT :most),
 timeline AS MATERIALIZED (
  SELECT id FROM decision WHERE story = (SELECT story FROM around)
   AND recorded_ms < :before AND plan_id <> :plan AND superseded_by IS NULL
   AND id NOT IN (SELECT id FROM affecting) AND id NOT IN (SELECT id FROM siblings)
  ORDER BY recorded_ms DESC, decision_id DESC LIMIT :titles),
 plans AS MATERIALIZED (
  SELECT plan_id, title, tasks FROM plan WHERE story = (SELECT story FROM around)
   AND approved_ms < :before AND plan_id <> :plan
  ORDER BY approved_ms DESC, plan_id DESC LIMIT :most)
SELECT 1, {_TOLD}, t.rationale, t.text FROM own JOIN told t ON t.decision = own.id
UNION ALL SELECT 2, {_TOLD}, t.rationale, t.text FROM affecting a JOIN told t ON t.decision = a.id
UNION ALL SELECT 3, {_TOLD}, t.rationale, t.text FROM siblings s JOIN told t ON t.decision = s.id
UNION ALL SELECT 4, {_TOLD}, NULL, NULL FROM timeline l JOIN told t ON t.decision = l.id
UNION ALL SELECT 5, plan_id, title, tasks, (
  SELECT count(*) FROM decision d WHERE d.plan_id = plans.plan_id AND d.superseded_by IS NULL
   AND d.recorded_ms < :before), NULL, NULL FROM plans
UNION ALL SELECT 0, task_id, document, NULL, NULL, NULL, NULL FROM task
  WHERE plan = (SELECT id FROM plan WHERE plan_id = :plan)
"""

CYPHER: LiteralString = """
MATCH (own:Plan {plan_id: $plan})
CALL () {
  UNWIND $ancestors AS ancestor
  MATCH (d:Decision {current_story: $story, plan_id: $plan, task_id: ancestor})
  RETURN collect([d.decision_id, d.told_head, d.told_rest]) AS ancestors
}
CALL () {
  MATCH (d:Decision)-[a:AFFECTS]->()
  WHERE a.current_story = $story AND a.task_id = $task AND a.recorded_ms < $before
    AND a.decision_id IS NOT NULL AND a.plan_id <> $plan
  WITH d, a
  ORDER BY a.current_story DESC, a.task_id DESC, a.recorded_ms DESC, a.decision_id DESC
  LIMIT $most
  RETURN collect(d.decision_id) AS one,
    collect([d.decision_id, d.told_head, d.told_rest]) AS affecting
}
CALL (one) {
  MATCH (d:Decision)
  WHERE d.current_story = $story AND d.role = $role AND d.recorded_ms < $before
    AND d.decision_id IS NOT NULL AND d.plan_id <> $plan AND NOT d.decision_id IN one
  WITH d
  ORDER BY d.current_story DESC, d.role DESC, d.recorded_ms DESC, d.decision_id DESC
  LIMIT $most
  RETURN collect(d.decision_id) AS two,
    collect([d.decision_id, d.told_head, d.told_rest]) AS siblings
}
CALL (one, two) {
  MATCH (d:Decision)
  WHERE d.current_story = $story AND d.recorded_ms < $before AND d.decision_id IS NOT NULL
    AND d.plan_id <> $plan AND NOT d.decision_id IN one AND NOT d.decision_id IN two
  WITH d
  ORDER BY d.current_story DESC, d.recorded_ms DESC, d.decision_id DESC
  LIMIT $titles
  RETURN collect([d.decision_id, d.told_head]) AS timeline
}
CALL () {
  MATCH (p:Plan)
  WHERE p.story = $story AND p.approved_ms < $before AND p.plan_id IS NOT NULL
    AND p.plan_id <> $plan
  WITH p
  ORDER BY p.story DESC, p.approved_ms DESC, p.plan_id DESC
  LIMIT $most
  RETURN collect([p.summary, COUNT {
    MATCH (d:Decision)
    WHERE d.current_story = $story AND d.plan_id = p.plan_id AND d.task_id IS NOT NULL
      AND d.recorded_ms < $before
  }]) AS plans
}
RETURN ancestors, affecting, siblings, timeline, plans, own.document AS own
"""


def open_sqlite(path: str) -> sqlite3.Connection:
    """A connection that only reads, with as much cache as the adapter has."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    connection.execute("PRAGMA cache_size=-8000")
    return connection


def ask_sqlite(connection: sqlite3.Connection, values: dict[str, Any]) -> int:
    """Fetch the rows; how many there were, the plan's own not counted."""
    return sum(row[0] > 0 for row in connection.execute(SQL, values).fetchall())


async def ask_neo4j(driver: AsyncDriver, values: dict[str, Any]) -> int:
    """Fetch the row; how many entries its lists have, the plan's own not counted."""
    async with driver.session() as session:
        result = await session.run(CYPHER, values)
        (row,) = [record async for record in result]
    return sum(len(part) for part in row[:5])
