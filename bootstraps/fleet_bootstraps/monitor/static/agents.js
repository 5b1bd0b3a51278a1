// The agents of a council side by side: what each wrote, step by step, and what it is saying now.

import { diff } from "./diff.js";
import { h } from "./dom.js";
import { chip } from "./parts.js";
import { count, span } from "./format.js";
import { words } from "./store.js";

export function agents(state, { may, live }) {
  const evidence = checks(state);
  const seats = [...state.council];
  if (state.judge && state.steps.some((step) => step.jobs.some((job) => job.agent === state.judge.agent))) seats.push(state.judge);
  return h("section", { "data-key": "agents" },
    h("h2", null, "Agents"),
    h("div", { class: "agents" }, seats.map((agent) => column(state, agent, evidence, { may, live }))));
}

// What the checks found, by the digest of the text they ran on.
function checks(state) {
  const found = new Map();
  for (const step of state.steps) {
    for (const job of step.jobs) {
      if (!job.checked) continue;
      if (!found.has(job.checked)) found.set(job.checked, []);
      found.get(job.checked).push(job);
    }
  }
  return found;
}

function column(state, agent, evidence, how) {
  let before = null;
  const cards = [];
  for (const step of state.steps) {
    for (const job of step.jobs) {
      if (job.agent !== agent.agent || job.checked) continue;
      cards.push(card(step, job, evidence, before, how));
      if (job.proposal?.text) before = job.proposal;
    }
  }
  const won = state.ranking?.order?.[0]?.agents?.includes(agent.agent) && state.decision;
  return h("article", { class: `agent${won ? " won" : ""}`, "data-key": agent.agent, "aria-label": `Agent ${agent.agent}` },
    h("header", null, h("h3", null, agent.agent, won ? h("span", { class: "chip ok" }, "✓ winner") : null),
      h("p", { class: "sub" }, [agent.model || `binding ${agent.binding}`, `temperature ${agent.temperature}`].join(" · ")),
      agent.persona ? h("p", { class: "persona" }, agent.persona) : null),
    cards.length ? cards : h("p", { class: "muted" }, "has not been asked yet"));
}

function card(step, job, evidence, before, { may, live }) {
  const running = !job.outcome;
  return h("div", { class: `job${running ? " running" : ""}`, "data-key": job.job_id },
    h("div", { class: "row job-head" },
      h("strong", null, step.step), h("span", { class: "sub" }, `round ${step.round}`),
      running ? chip("running") : chip(job.outcome, job.late ? ", late" : ""),
      h("span", { class: "spacer" }),
      h("button", { type: "button", class: "quiet", "data-act": "job", "data-job": job.job_id }, "prompt"),
      running && live && may.act && may.can_act ? h("button", { type: "button", class: "danger small", "data-act": "kill", "data-job": job.job_id }, "kill") : null),
    job.failure ? h("p", { class: "bad-text" }, `${job.failure.code}: ${job.failure.reason}`) : null,
    running && live ? saying(job) : null,
    job.proposal ? proposal(job, evidence.get(job.proposal.digest) ?? [], before) : null,
    job.ballot ? critique(job.ballot) : null,
    running ? null : h("p", { class: "sub" }, `${count(job.tokens)} tokens · ${span(job.ms)}${job.calls > 1 ? ` · ${job.calls} calls` : ""}`));
}

function saying(job) {
  const held = words.get(job.job_id);
  if (!held) return h("p", { class: "muted" }, "waiting for its first words…");
  return h("pre", { class: "words", "aria-label": "What it is saying", tabindex: "0" }, held.start > 0 ? "…" : "", held.text);
}

function proposal(job, found, before) {
  const given = job.proposal;
  if (given.unreadable !== undefined) {
    return h("div", null, h("p", { class: "warn-text" }, "It held no proposal:"), h("pre", null, given.unreadable));
  }
  const same = before && before.text === given.text;
  return h("div", { class: "proposal" },
    h("h4", null, given.title),
    before ? (same ? h("p", { class: "sub" }, "unchanged by the revision")
      : h("details", { open: true, "data-key": `diff-${job.job_id}` }, h("summary", null, "What the revision changed"), changes(before.text, given.text))) : null,
    h("details", { open: before ? null : true, "data-key": `text-${job.job_id}` }, h("summary", null, "The proposal"), h("pre", { tabindex: "0" }, given.text)),
    given.rationale ? h("p", { class: "rationale" }, given.rationale) : null,
    given.affects.length ? h("p", { class: "sub" }, `affects ${given.affects.join(", ")}`) : null,
    found.map((check) => evidenceOf(check)));
}

function changes(before, after) {
  return h("pre", { class: "diff", tabindex: "0" }, diff(before, after).map(([sign, text]) =>
    h("span", { class: sign === "+" ? "added" : sign === "-" ? "removed" : null }, `${sign} ${text}\n`)));
}

function evidenceOf(job) {
  if (!job.evidence) return h("p", { class: "evidence" }, chip("running"), " a check runs on it");
  const { kind, standing, summary, output } = job.evidence;
  return h("div", { class: "evidence" },
    h("p", null, chip(standing), h("b", null, ` ${kind} `), summary),
    output ? h("details", { "data-key": `out-${job.job_id}` }, h("summary", null, "What it printed"), h("pre", { tabindex: "0" }, output)) : null);
}

function critique(ballot) {
  if (ballot.unreadable !== undefined) {
    return h("div", null, h("p", { class: "warn-text" }, "It held no ballot:"), h("pre", null, ballot.unreadable));
  }
  const said = ballot.critiques.filter((one) => one.strengths || one.weaknesses);
  return h("div", { class: "critique" },
    ballot.reason ? h("p", null, ballot.reason) : null,
    said.length ? h("details", null, h("summary", null, `What it says of ${said.length}`), said.map((one) => h("p", { class: "sub" },
      h("code", null, one.of.slice(0, 8)), one.strengths ? ` + ${one.strengths}` : "", one.weaknesses ? ` − ${one.weaknesses}` : ""))) : null);
}
