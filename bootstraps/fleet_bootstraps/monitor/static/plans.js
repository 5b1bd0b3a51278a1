// Plans: each with its tasks as a graph, and their states.

import { act as carryOut } from "./api.js";
import { h, svg } from "./dom.js";
import { FAILED, chip, empty, failedToggle, heading, tone } from "./parts.js";
import { short, stamp } from "./format.js";
import { plans } from "./store.js";

export const title = "Plans";
let failed = false;
let more = 20;

export function name() { return "Plans"; }

export function view({ rest, may }) {
  const all = [...plans.values()].reverse();
  const chosen = rest[0] ? all.filter((plan) => plan.plan_id === rest[0]) : all;
  const found = failed ? chosen.filter((p) => FAILED.has(p.state) || p.tasks.some((t) => FAILED.has(t.state))) : chosen;
  return h("div", { class: "stack" },
    h("div", { class: "row" }, h("h1", null, rest[0] ? "Plan" : "Plans"), rest[0] ? h("a", { href: "#/plans" }, "all plans") : failedToggle(failed)),
    may.can_act && may.act && !rest[0] ? submit() : null,
    found.length ? found.slice(0, more).map(plan) : empty(failed ? "No plan has failed." : "No plan has been approved."),
    found.length > more ? h("button", { type: "button", "data-act": "more" }, `${found.length - more} more`) : null);
}

function submit() {
  return h("details", { class: "card", "data-key": "submit" }, h("summary", null, "Submit a plan"),
    h("form", { class: "form", "data-act": "case" },
      h("label", { for: "case" }, "A built-in test case"),
      h("div", { class: "row" },
        h("select", { id: "case", name: "case" }, ["basic", "medium", "complex"].map((value) => h("option", { value }, value))),
        h("label", { class: "toggle" }, h("input", { type: "checkbox", name: "fresh" }), "deliberate anew"),
        h("button", { type: "submit", class: "primary" }, "Run the test case"))),
    h("form", { class: "form", "data-act": "plan" },
      h("label", { for: "plan-text" }, "A plan of your own, as YAML or JSON"),
      h("textarea", { id: "plan-text", name: "plan", rows: 10, spellcheck: "false", required: true, maxlength: 1048576 }),
      h("div", { class: "row" }, h("button", { type: "submit", class: "primary" }, "Submit the plan"))));
}

export async function act(what, target, redraw) {
  if (what === "failed") failed = target.checked;
  if (what === "more") more += 20;
  if (what === "case") {
    const query = new URLSearchParams({ test_case: target.elements.case.value });
    if (target.elements.fresh.checked) query.set("fresh", "true");
    await carryOut("Test case", `/api/admin/test-cases/execute?${query}`);
  }
  if (what === "plan") await carryOut("Plan", "/api/admin/plans", { plan: target.elements.plan.value });
  redraw();
}

function plan(row) {
  return h("section", { class: "card", "data-key": row.plan_id },
    h("div", { class: "row" }, h("h2", null, h("a", { href: `#/plans/${row.plan_id}` }, row.title)), chip(row.state)),
    h("p", { class: "sub" }, `story ${row.story} · attempt ${row.attempt} · approved ${stamp(row.approved_ms)} · ${short(row.plan_id)}`),
    row.reason ? h("p", { class: "bad-text" }, row.reason) : null,
    graph(row.tasks),
    h("div", { class: "scroll" }, h("table", { class: "list" },
      h("thead", null, h("tr", null, ["Task", "Role", "State", "Winner or reason", "Depends on"].map(heading))),
      h("tbody", null, row.tasks.map((task) => h("tr", { "data-key": task.task },
        h("th", { scope: "row" }, task.deliberation_id ? h("a", { href: `#/deliberations/${task.deliberation_id}` }, task.title) : task.title, h("div", { class: "sub" }, task.task)),
        h("td", { class: "name" }, task.role),
        h("td", null, chip(task.state), " ", task.standing ? chip(task.standing) : null),
        h("td", { class: "grow" }, task.reason ? h("span", { class: "bad-text" }, task.reason) : task.winner || "–"),
        h("td", null, h("span", { class: "narrow" }, "depends on "), task.depends_on.join(", ") || "–")))))));
}

// The tasks by how far they are from a task that needs none: columns from left to right.
export function layered(tasks) {
  const byId = new Map(tasks.map((task) => [task.task, task]));
  const depth = new Map();
  const of = (id, on = new Set()) => {
    if (depth.has(id)) return depth.get(id);
    if (on.has(id)) return 0;
    on.add(id);
    const needs = (byId.get(id)?.depends_on ?? []).filter((need) => byId.has(need));
    const found = needs.length ? 1 + Math.max(...needs.map((need) => of(need, on))) : 0;
    depth.set(id, found);
    return found;
  };
  const layers = [];
  for (const task of tasks) (layers[of(task.task)] ??= []).push(task);
  return layers;
}

const WIDE = 168, TALL = 46, GAP = 48, UNDER = 14;
function graph(tasks) {
  if (tasks.length < 2) return null;
  const layers = layered(tasks);
  const place = new Map();
  layers.forEach((layer, x) => layer.forEach((task, y) => place.set(task.task, [x * (WIDE + GAP), y * (TALL + UNDER)])));
  const width = layers.length * (WIDE + GAP) - GAP;
  const height = Math.max(...layers.map((layer) => layer.length)) * (TALL + UNDER) - UNDER;
  const edges = tasks.flatMap((task) => task.depends_on.filter((need) => place.has(need)).map((need) => {
    const [ax, ay] = place.get(need), [bx, by] = place.get(task.task);
    const from = [ax + WIDE, ay + TALL / 2], to = [bx, by + TALL / 2], half = (to[0] - from[0]) / 2;
    return svg("path", { class: "edge", d: `M${from} C${from[0] + half},${from[1]} ${to[0] - half},${to[1]} ${to}` });
  }));
  const nodes = tasks.map((task) => {
    const [x, y] = place.get(task.task);
    const box = svg("g", { class: `node ${tone(task.state)}`, transform: `translate(${x},${y})` },
      svg("title", null, `${task.title}: ${task.state}`),
      svg("rect", { width: WIDE, height: TALL, rx: 8 }),
      svg("text", { x: 12, y: 19, class: "node-name" }, fit(task.task, 20)),
      svg("text", { x: 12, y: 36, class: "node-state" }, fit(`${task.role} · ${task.state}`, 24)));
    return task.deliberation_id ? svg("a", { href: `#/deliberations/${task.deliberation_id}`, "aria-label": `${task.task}: ${task.state}` }, box) : box;
  });
  return h("div", { class: "scroll" }, svg("svg", { class: "graph", viewBox: `-2 -2 ${width + 4} ${height + 4}`, width: width + 4, height: height + 4, role: "group", "aria-label": "Tasks and what they depend on" }, edges, nodes));
}

export const fit = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
