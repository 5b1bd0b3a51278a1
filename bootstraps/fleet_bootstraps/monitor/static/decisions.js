// Decisions and what they rest on, as a graph: a story at a time.

import { ask } from "./api.js";
import { h, svg } from "./dom.js";
import { chip, empty, heading, scroller, tone } from "./parts.js";
import { stamp } from "./format.js";
import { fit } from "./plans.js";

export const title = "Decisions";
let told = null;
let story = "";
let kept = null; // what the context graph keeps of the story
let unkept = "";

async function look(redraw) {
  told = await ask(`/api/decisions${story ? `?${new URLSearchParams({ story })}` : ""}`);
  kept = null;
  if (story) {
    try { kept = await ask(`/api/graph?${new URLSearchParams({ story })}`); } catch (error) { unkept = error.message; }
  }
  redraw();
}
export async function enter({ redraw }) { await look(redraw); }
let waiting = null;
export function heard(name, redraw) {
  if (name !== "plan" || waiting) return;
  waiting = setTimeout(() => { waiting = null; look(redraw).catch(() => {}); }, 500);
}

export function view() {
  if (!told) return empty("Asking…");
  const decided = told.nodes.filter((node) => node.decision_id);
  return h("div", { class: "stack" },
    h("div", { class: "row" }, h("h1", null, "Decisions"),
      h("label", { for: "story" }, "Story "),
      h("select", { id: "story", "data-act": "story" }, h("option", { value: "" }, "all"),
        told.stories.map((name) => h("option", { value: name, selected: name === story || null }, name)))),
    told.nodes.length ? h("section", { class: "card" },
      h("p", { class: "legend" }, h("span", { class: "key line-depends" }, "depends on"), h("span", { class: "key line-cited" }, "cites"), h("span", { class: "key line-affects" }, "affects")),
      graph()) : empty("Nothing is decided yet."),
    decided.length ? h("section", { class: "card" }, h("h2", null, "Decided"),
      h("ul", { class: "plain" }, decided.map((node) => h("li", { "data-key": node.node },
        h("a", { href: `#/deliberations/${node.deliberation_id}` }, node.decision), " ", chip(node.standing),
        h("div", { class: "sub" }, `${node.task} · ${node.winner} · ${node.story}`, rests(node.node)))))) : null,
    story ? ofGraph() : h("p", { class: "muted" }, "Choose a story to see what the context graph keeps of it."));
}

// Every decision that is recorded, superseded ones too, with what it supersedes and cites.
function ofGraph() {
  if (!kept) return h("section", { class: "card" }, h("h2", null, "In the context graph"), h("p", { class: "muted" }, unkept || "Asking…"));
  const byId = new Map(kept.nodes.map((node) => [node.id, node]));
  const made = kept.nodes.filter((node) => node.kind === "Decision");
  const gone = new Set(kept.relations.filter((one) => one.kind === "SUPERSEDES").map((one) => one.target));
  const titles = (kind, from) => kept.relations.filter((one) => one.kind === kind && one.source === from).map((one) => byId.get(one.target)?.title ?? one.target);
  const dissent = (of) => kept.relations.filter((one) => one.kind === "DISSENTED_FROM" && one.target === of).map((one) => byId.get(one.source)?.title);
  const task = (of) => kept.relations.filter((one) => one.kind === "DECIDED_BY" && one.target === of).map((one) => byId.get(one.source)?.title ?? one.source);
  return h("section", { class: "card", "data-key": "kept" }, h("h2", null, "In the context graph"),
    kept.whole ? null : h("p", { class: "warn-text" }, "The oldest of it; there is more."),
    made.length ? h("div", scroller("Decisions in the context graph"), h("table", { class: "list" },
      h("thead", null, h("tr", null, ["Decision", "Standing", "Winner", "Recorded", "Rests on, and who dissented"].map(heading))),
      h("tbody", null, made.map((node) => h("tr", { "data-key": node.id, class: gone.has(node.id) ? "out" : null },
        h("th", { scope: "row" }, node.title, h("div", { class: "sub" }, [...task(node.id), gone.has(node.id) ? "superseded" : ""].filter(Boolean).join(" · "))),
        h("td", null, chip(node.standing)), h("td", { class: "name" }, node.winner), h("td", { class: "name" }, stamp(node.at_ms)),
        h("td", { class: "grow" }, [titles("CITED", node.id).map((one) => `cites ${one}`), titles("SUPERSEDES", node.id).map((one) => `supersedes ${one}`), dissent(node.id).map((one) => `${one} dissented`)].flat().join("; ") || "–")))))) : empty("No decision is recorded."));
}

function rests(node) {
  const on = told.edges.filter((edge) => edge.to === node && edge.kind !== "affects").map((edge) => edge.from.split("/").pop());
  return on.length ? ` · rests on ${[...new Set(on)].join(", ")}` : "";
}

export function act(what, target, redraw) {
  if (what === "story") { story = target.value; return look(redraw); }
  return null;
}

const WIDE = 200, TALL = 52, GAP = 56, UNDER = 16;
function graph() {
  const nodes = told.nodes;
  const byId = new Map(nodes.map((node) => [node.node, node]));
  const depth = new Map();
  const of = (id, on) => {
    if (depth.has(id)) return depth.get(id);
    if (on.has(id)) return 0;
    const into = told.edges.filter((edge) => edge.to === id && edge.kind !== "affects" && byId.has(edge.from));
    const found = into.length ? 1 + Math.max(...into.map((edge) => of(edge.from, new Set([...on, id])))) : 0;
    depth.set(id, found);
    return found;
  };
  const layers = [];
  for (const node of nodes.slice(-120)) (layers[of(node.node, new Set())] ??= []).push(node);
  const place = new Map();
  layers.forEach((layer, x) => layer.forEach((node, y) => place.set(node.node, [x * (WIDE + GAP), y * (TALL + UNDER)])));
  const width = layers.length * (WIDE + GAP) - GAP;
  const height = Math.max(...layers.map((layer) => layer.length)) * (TALL + UNDER) - UNDER;
  const lines = told.edges.filter((edge) => place.has(edge.from) && place.has(edge.to)).map((edge) => {
    const [ax, ay] = place.get(edge.from), [bx, by] = place.get(edge.to);
    const forward = bx > ax;
    const from = [ax + (forward ? WIDE : WIDE / 2), ay + (forward ? TALL / 2 : TALL)];
    const to = [bx + (forward ? 0 : WIDE / 2), by + (forward ? TALL / 2 : TALL)];
    const bend = forward ? (to[0] - from[0]) / 2 : 24;
    const path = forward ? `M${from} C${from[0] + bend},${from[1]} ${to[0] - bend},${to[1]} ${to}` : `M${from} C${from[0]},${from[1] + bend} ${to[0]},${to[1] + bend} ${to}`;
    return svg("path", { class: `edge ${edge.kind}`, d: path });
  });
  const boxes = nodes.filter((node) => place.has(node.node)).map((node) => {
    const [x, y] = place.get(node.node);
    const box = svg("g", { class: `node ${tone(node.standing || node.state)}`, transform: `translate(${x},${y})` },
      svg("title", null, `${node.title}: ${node.decision || node.state}`),
      svg("rect", { width: WIDE, height: TALL, rx: 8 }),
      svg("text", { x: 12, y: 21, class: "node-name" }, fit(node.decision || node.title, 25)),
      svg("text", { x: 12, y: 39, class: "node-state" }, fit(`${node.task} · ${node.standing || node.state}`, 29)));
    return node.deliberation_id ? svg("a", { href: `#/deliberations/${node.deliberation_id}`, "aria-label": `${node.task}: ${node.decision || node.state}` }, box) : box;
  });
  return h("div", { class: "scroll" }, svg("svg", { class: "graph", viewBox: `-2 -2 ${width + 4} ${height + 28}`, width: width + 4, height: height + 28, role: "group", "aria-label": "Decisions and what they rest on" }, lines, boxes));
}
