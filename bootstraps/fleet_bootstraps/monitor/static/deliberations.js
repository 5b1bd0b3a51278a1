// All deliberations, those that changed last first.

import { h } from "./dom.js";
import { deliberationTable, FAILED, failedToggle } from "./parts.js";
import { plural } from "./format.js";
import { deliberations } from "./store.js";

export const title = "Deliberations";
let failed = false;
let more = 100;

export function view() {
  const all = [...deliberations.values()].reverse();
  const found = failed ? all.filter((row) => FAILED.has(row.state) || row.failed_jobs) : all;
  return h("div", { class: "stack" },
    h("div", { class: "row" }, h("h1", null, "Deliberations"), failedToggle(failed)),
    h("section", { class: "card" },
      deliberationTable(found.slice(0, more), failed ? "None has failed." : "There is none yet."),
      found.length > more ? h("button", { type: "button", "data-act": "more" }, `${plural(found.length - more, "more", "more")}`) : null));
}

export function act(what, target, redraw) {
  if (what === "failed") failed = target.checked;
  if (what === "more") more += 100;
  redraw();
}
