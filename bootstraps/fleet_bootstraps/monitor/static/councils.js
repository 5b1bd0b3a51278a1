// Who sits for which role.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { empty, heading, scroller } from "./parts.js";

export const title = "Councils";
let told = null;

export async function enter({ redraw }) { told = await ask("/api/councils"); redraw(); }

export function view() {
  if (!told) return empty("Asking…");
  return h("div", { class: "stack" },
    h("h1", null, "Councils"),
    h("p", { class: "muted" }, told.from === "fleet" ? "To these a task that is approved now would be put." : "As the log tells: those that have deliberated."),
    told.councils.length ? told.councils.map((council) => h("section", { class: "card", "data-key": council.role },
      h("h2", null, council.role),
      h("div", scroller(`Council ${council.role}`), h("table", { class: "list" },
        h("thead", null, h("tr", null, ["Agent", "Model", "Temperature", "Longest answer", "Seed", "Persona"].map(heading))),
        h("tbody", null, council.agents.map((agent) => h("tr", { "data-key": agent.agent },
          h("th", { scope: "row" }, h("code", null, agent.agent)),
          h("td", null, agent.model || "–", h("div", { class: "sub" }, `binding ${agent.binding}`)),
          h("td", { class: "num" }, agent.temperature), h("td", { class: "num" }, agent.max_tokens),
          h("td", { class: "num" }, agent.seed ?? "–"), h("td", { class: "grow" }, agent.persona || "–")))))))) : empty("None is known."));
}
