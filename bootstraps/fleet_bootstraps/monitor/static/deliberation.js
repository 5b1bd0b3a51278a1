// One deliberation: what its council does now, and what it did at every moment before.

import { act as carryOut, ask } from "./api.js";
import { h } from "./dom.js";
import { agents } from "./agents.js";
import { ballots, contextPack, decision, ranking } from "./outcome.js";
import { chip, empty, lease, OPEN } from "./parts.js";
import { clock, short, span, stamp } from "./format.js";
import { deliberations, now } from "./store.js";
import { showJob } from "./job.js";

export const title = "Deliberation";
let id = "";
let told = null; // the newest state
let log = null;
let at = 0; // the version that is looked at; 0: as it is now
let past = new Map();
let asking = false;
let playing = null;

export const name = () => told?.deliberation.title || "Deliberation";

export async function enter({ rest, query, redraw }) {
  id = rest[0];
  told = log = null;
  past = new Map();
  at = Number(query.get("at")) || 0;
  await look(redraw);
  if (at) await reach(at, redraw);
}

export function leave() { stop(); id = ""; }

async function look(redraw) {
  if (asking) return;
  asking = true;
  const mine = id;
  try {
    const [state, moments] = await Promise.all([ask(path()), ask(`${path()}/log`)]);
    if (mine !== id) return;
    told = state;
    log = moments;
  } finally {
    asking = false;
  }
  redraw();
}

const path = () => `/api/deliberations/${encodeURIComponent(id)}`;

export function heard(name, redraw) {
  if (name !== "deliberation" || !told || asking) return;
  const row = deliberations.get(told.deliberation.deliberation_id);
  if (row && row.version !== told.newest) look(redraw).catch(() => {});
}

export function view({ may, redraw }) {
  if (!told) return empty("Reading the log…");
  const row = deliberations.get(told.deliberation.deliberation_id) ?? told.row;
  if (row.version !== told.newest) setTimeout(() => heard("deliberation", redraw), 0);
  const looked = at ? past.get(at) ?? told : told;
  const state = looked.deliberation;
  const live = !at && OPEN.has(state.state);
  const moment = at ? log?.moments.find((m) => m.version === at) : null;
  return h("div", { class: "stack" },
    head(state, row, may, live),
    row.trouble ? h("p", { class: "banner warn" }, `The log does not tell all of it: ${row.trouble}. What is shown is version ${told.at}, as far as log or store go.`) : null,
    h("div", { class: "pair", "data-key": "pair" },
      slider(),
      h("section", { class: "card", "data-key": "lease" }, h("h2", null, "Lease"),
        lease(state.figures, state.started_ms, state.ended_ms, moment?.at_ms))),
    state.failure ? h("section", { class: "card bad-edge", "data-key": "failure" }, h("h2", null, state.state === "cancelled" ? "Cancelled" : "Why it failed"), h("p", null, state.failure.reason)) : null,
    state.notes.length ? h("ul", { class: "card notes", "data-key": "notes" }, state.notes.map((note) => h("li", null, note))) : null,
    decision(state),
    agents(state, { may, live }),
    ballots(state),
    ranking(state, looked.ranked),
    contextPack(state));
}

function head(state, row, may, live) {
  return h("section", { class: "head", "data-key": "head" },
    h("p", { class: "crumbs" }, h("a", { href: `#/plans/${state.plan_id}` }, `plan ${short(state.plan_id)}`), " / ", state.task),
    h("div", { class: "row" }, h("h1", null, state.title), chip(state.state), state.decision ? chip(row.standing) : null,
      live ? h("span", { class: "live" }, "live") : null),
    h("p", { class: "sub" }, [state.role, state.protocol, `attempt ${state.attempt}`, `story ${state.story}`, `began ${stamp(state.started_ms)}`,
      state.ended_ms ? `took ${span(state.ended_ms - state.started_ms)}` : `${span(now() - state.started_ms)} so far`].join(" · ")),
    may.act && may.can_act && live ? h("div", { class: "row actions" },
      h("button", { type: "button", class: "danger", "data-act": "cancel" }, "Cancel"),
      h("form", { class: "row", "data-act": "extend" },
        h("label", { for: "tokens" }, "more tokens"),
        h("input", { id: "tokens", name: "tokens", type: "number", min: 1, max: 1e9, value: 20000, required: true }),
        h("label", { for: "minutes" }, "more minutes"),
        h("input", { id: "minutes", name: "minutes", type: "number", min: 0, max: 1e6, value: 0, required: true }),
        h("button", { type: "submit" }, "Raise the lease"))) : null);
}

function slider() {
  const moments = log?.moments ?? [];
  if (!moments.length) return null;
  const newest = moments[moments.length - 1];
  const shown = at ? moments.find((m) => m.version === at) ?? newest : newest;
  return h("section", { class: "card slider", "data-key": "slider" },
    h("h2", null, "Moment"),
    h("div", { class: "row" },
      h("button", { type: "button", "data-act": "play", "aria-pressed": playing ? "true" : "false" }, playing ? "Pause" : "Play"),
      h("label", { class: "hidden", for: "moment" }, "Moment"),
      h("input", { id: "moment", type: "range", "data-act": "moment", "data-driven": "", min: moments[0].version, max: newest.version, value: shown.version,
        "aria-valuetext": `version ${shown.version}: ${shown.about}` }),
      h("button", { type: "button", "data-act": "now", disabled: !at || null }, "Now")),
    h("p", { class: "legend", id: "moment-said" }, h("strong", null, `${shown.version} of ${newest.version}`),
      ` · ${clock(shown.at_ms, true)} · ${span(shown.at_ms - moments[0].at_ms)} in · ${shown.about}`));
}

async function reach(version, redraw) {
  at = version;
  if (!past.has(version)) {
    const found = await ask(`${path()}?at=${version}`);
    past.set(version, found);
    if (past.size > 200) past.delete(past.keys().next().value);
  }
  redraw();
}

function stop() { clearTimeout(playing); playing = null; }

function play(redraw) {
  const moments = log.moments;
  const index = at ? moments.findIndex((m) => m.version === at) : -1;
  const next = moments[index + 1];
  if (!next) { stop(); at = 0; redraw(); return; }
  const gap = index >= 0 ? next.at_ms - moments[index].at_ms : 0;
  playing = setTimeout(() => reach(next.version, redraw).then(() => { if (playing) play(redraw); }), Math.min(1200, Math.max(180, gap)));
}

export async function act(what, target, redraw) {
  const deliberation = encodeURIComponent(told.deliberation.deliberation_id);
  const admin = `/api/admin/deliberations/${deliberation}`;
  if (what === "moment") { stop(); return reach(Number(target.value), redraw); }
  if (what === "now") { stop(); at = 0; redraw(); }
  if (what === "play") {
    if (playing) stop(); else play(redraw);
    redraw();
  }
  if (what === "job") await showJob(path(), target.dataset.job);
  if (what === "cancel") await carryOut("Cancel", `${admin}/cancel`, { reason: "cancelled in the monitor" });
  if (what === "kill") await carryOut("Kill a job", `${admin}/jobs/${encodeURIComponent(target.dataset.job)}/kill`);
  if (what === "extend") {
    const body = { tokens: Number(target.elements.tokens.value) };
    const minutes = Number(target.elements.minutes.value);
    if (minutes > 0) body.ms = Math.round(minutes * 60_000);
    await carryOut("Raise the lease", `${admin}/lease`, body);
  }
  return null;
}
