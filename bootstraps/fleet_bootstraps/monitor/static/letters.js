// Dead letters: what could not be handled, and what can be done about it.

import { act as carryOut, ask } from "./api.js";
import { h } from "./dom.js";
import { empty } from "./parts.js";
import { stamp } from "./format.js";

export const title = "Dead letters";
let told = null;
let all = false;

async function look(redraw) { told = await ask(`/api/dead-letters?all=${all}`); redraw(); }
export async function enter({ redraw }) { await look(redraw); }
export function heard(name, redraw) { if (name === "letters") look(redraw).catch(() => {}); }

export function view({ may }) {
  if (!told) return empty("Asking…");
  const can = may.act && may.can_act;
  return h("div", { class: "stack" },
    h("div", { class: "row" }, h("h1", null, "Dead letters"),
      h("label", { class: "toggle" }, h("input", { type: "checkbox", "data-act": "all", id: "all-letters", checked: all || null }), "settled ones too")),
    told.letters.length ? told.letters.map((letter) => h("section", { class: "card", "data-key": letter.position },
      h("div", { class: "row" }, h("h2", null, letter.subject), h("span", { class: `chip ${letter.settled ? "idle" : "bad"}` }, letter.fate)),
      h("p", { class: "bad-text" }, letter.reason || "no reason was given"),
      h("p", { class: "sub" }, `${stamp(letter.time_ms)} · ${letter.durable || "nobody"} gave it up after ${letter.attempts} · ${letter.event_id}`),
      letter.unreadable ? h("p", { class: "warn-text" }, letter.unreadable) : null,
      letter.became ? h("p", { class: "sub" }, letter.became) : null,
      h("details", null, h("summary", null, "The event"), h("pre", null, JSON.stringify(letter.envelope, null, 2))),
      can ? h("div", { class: "row" },
        h("button", { type: "button", class: "primary", "data-act": "replay", "data-at": letter.position }, "Replay"),
        letter.settled ? null : h("button", { type: "button", class: "danger", "data-act": "discard", "data-at": letter.position }, "Discard")) : null))
      : empty(all ? "There is none." : "Everything could be handled."));
}

export async function act(what, target, redraw) {
  const at = encodeURIComponent(target.dataset.at ?? "");
  if (what === "all") all = target.checked;
  if (what === "replay") await carryOut("Replay", `/api/admin/dead-letters/${at}/replay`, {});
  if (what === "discard") await carryOut("Discard", `/api/admin/dead-letters/${at}/discard`, { reason: "discarded in the monitor" });
  await look(redraw);
}
