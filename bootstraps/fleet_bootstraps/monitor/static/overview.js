// How everything is, at a glance.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { chip, deliberationTable, OPEN, scroller, tone } from "./parts.js";
import { count, plural } from "./format.js";
import { deliberations, plans, seen } from "./store.js";

export const title = "Overview";
let told = null;
let trouble = "";
let timer = null;

export async function enter({ redraw }) {
  const look = async () => {
    try { told = await ask("/api/overview"); trouble = ""; } catch (error) { trouble = error.message; }
    redraw();
  };
  clearInterval(timer);
  timer = setInterval(() => { if (!document.hidden) look(); }, 2000);
  await look();
}

export function leave() { clearInterval(timer); }

const KINDS = [["service", "Services"], ["store", "Stores"], ["stream", "Streams, and how far their consumers are behind"], ["runner", "Ray and other runners"], ["model", "Model endpoints"], ["log", "This page"]];

export function view() {
  const rows = [...deliberations.values()].reverse();
  const open = rows.filter((row) => OPEN.has(row.state));
  const recent = rows.filter((row) => !OPEN.has(row.state)).slice(0, 8);
  return h("div", { class: "stack" },
    h("h1", null, "Overview"),
    banner(),
    h("section", { class: "tiles", "aria-label": "Figures" },
      tile("Open", open.length, "run"),
      tile("Decided", number("decided"), "ok"),
      tile("Failed", number("failed"), number("failed") ? "bad" : "idle"),
      tile("Cancelled", number("cancelled"), number("cancelled") ? "warn" : "idle"),
      tile("Plans", plans.size, "idle"),
      tile("Dead letters", seen.letters, seen.letters ? "bad" : "idle", "#/letters")),
    h("section", { class: "card" }, h("h2", null, "Under way"),
      deliberationTable(open.slice(0, 25), "Nothing is being deliberated."),
      open.length > 25 ? h("p", null, h("a", { href: "#/deliberations" }, `all ${count(open.length)}`)) : null),
    h("section", { class: "card" }, h("h2", null, "Ended last"), deliberationTable(recent, "Nothing has ended yet.")),
    parts());
}

function number(state) {
  return [...deliberations.values()].filter((row) => row.state === state).length;
}

function tile(label, value, kind, href) {
  const inner = [h("span", { class: "figure" }, count(value)), h("span", { class: "label" }, label)];
  return href ? h("a", { class: `tile ${kind}`, href }, inner) : h("div", { class: `tile ${kind}` }, inner);
}

function banner() {
  if (trouble) return h("p", { class: "banner bad", role: "alert" }, `The monitor does not answer: ${trouble}`);
  if (!told) return h("p", { class: "banner idle" }, "Asking…");
  const away = told.parts.filter((part) => part.state === "not ready");
  if (told.source === "file") return h("p", { class: "banner idle" }, `A replay of ${told.name}: ${plural(told.log.events, "event")}; nothing can be done to what is past.`);
  if (!away.length) return h("p", { class: "banner ok" }, "Everything that can be asked is ready.");
  return h("div", { class: "banner bad", role: "alert" }, away.map((part) => h("p", null, h("strong", null, part.name), ` is not ready: ${part.reason}`)));
}

function parts() {
  if (!told?.parts.length) return null;
  return h("section", { class: "card", "data-key": "parts" }, h("h2", null, "Parts"), KINDS.map(([kind, label]) => {
    const some = told.parts.filter((part) => part.kind === kind);
    if (!some.length) return null;
    return h("div", { ...scroller(label), "data-key": kind }, h("h3", { class: "sub" }, label), h("table", { class: "list parts" },
      h("tbody", null, some.map((part) => h("tr", { class: tone(part.state) === "bad" ? "bad-row" : null, "data-key": part.name },
        h("th", { scope: "row" }, part.name, part.address ? h("div", { class: "sub" }, part.address) : null),
        h("td", null, chip(part.state)),
        h("td", { class: "grow" }, part.reason || figures(part.figures)))))));
  }));
}

function figures(given) {
  const entries = Object.entries(given ?? {});
  if (!entries.length) return "";
  return h("span", { class: "figures" }, entries.map(([name, value]) =>
    h("span", null, `${name.replaceAll("_", " ")}: `, h("b", null, typeof value === "number" ? count(value) : value))));
}
