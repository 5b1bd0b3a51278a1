// What a deliberation came to: ballots, ranking, dissent, decision; and what the council was told.

import { h } from "./dom.js";
import { chip, heading, scroller } from "./parts.js";
import { count } from "./format.js";

export function decision(state) {
  const given = state.decision;
  if (!given) return null;
  const provisional = state.state === "provisional";
  return h("section", { class: "card decision", "data-key": "decision", id: "decision" },
    h("p", { class: "sub" }, provisional ? "Provisional decision" : state.amended ? "Decision, amended" : "Decision", ` · set by ${given.rule}`),
    h("h2", null, given.title),
    given.incomplete.length ? h("p", { class: "warn-text" }, `decided without ${given.incomplete.join(", ")}`) : null,
    given.rationale ? h("p", null, given.rationale) : null,
    given.evidence.map((one) => h("p", { class: "evidence" }, chip(one.standing), h("b", null, ` ${one.kind} `), one.summary)),
    h("details", { "data-key": "decision-text" }, h("summary", null, "The winning text"), h("pre", { tabindex: "0" }, given.text)),
    given.alternatives.length ? h("details", { "data-key": "alternatives" }, h("summary", null, `${given.alternatives.length} alternatives, and why not`),
      h("ul", { class: "plain" }, given.alternatives.map((one) => h("li", null, h("b", null, one.title), ` by ${one.agents.join(", ")}: ${one.reason}`)))) : null,
    given.affects.length ? h("p", { class: "sub" }, `affects ${given.affects.join(", ")}`) : null);
}

// Who put which candidate at which place: a row for each ballot, a column for each candidate.
export function ballots(state) {
  const cast = [];
  for (const step of state.steps) {
    for (const job of step.jobs) if (job.ballot?.ranking) cast.push({ step, job, ranking: job.ballot.ranking });
  }
  if (!cast.length) return null;
  const authors = new Map();
  for (const step of state.steps) {
    for (const job of step.jobs) {
      if (!job.proposal?.digest) continue;
      if (!authors.has(job.proposal.digest)) authors.set(job.proposal.digest, new Set());
      authors.get(job.proposal.digest).add(`${job.agent}${step.step === "revise" ? " revised" : ""}`);
    }
  }
  const columns = [...new Set(cast.flatMap((one) => one.ranking))];
  return h("section", { class: "card", "data-key": "ballots" }, h("h2", null, "Ballots"),
    h("div", scroller("Ballots"), h("table", { class: "matrix" },
      h("caption", { class: "hidden" }, "Each row is a ballot; each column a candidate; the cell is the place it was given"),
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "Ballot of"), columns.map((digest) =>
        h("th", { scope: "col" }, [...(authors.get(digest) ?? [])].join(", ") || "?", h("div", { class: "sub" }, digest.slice(0, 8)))))),
      h("tbody", null, cast.map(({ step, job, ranking }) => h("tr", { "data-key": job.job_id },
        h("th", { scope: "row" }, job.agent, h("div", { class: "sub" }, `${step.step}, round ${step.round}`)),
        columns.map((digest) => {
          const place = ranking.indexOf(digest) + 1;
          const own = [...(authors.get(digest) ?? [])].some((name) => name.split(" ")[0] === job.agent);
          return h("td", { class: `place place-${Math.min(place, 4)}` }, place || (own ? "own" : "–"));
        })))))));
}

export function ranking(state, core) {
  const given = state.ranking;
  if (!core) return h("section", { class: "card", "data-key": "ranking" }, h("h2", null, "Ranking"), h("p", { class: "muted" }, "This fleet ranks by a plugin of its own; its order is told by the decision alone."));
  if (!given?.order.length) return null;
  const shown = (value) => (value === null ? "–" : value.toFixed(2));
  return h("section", { class: "card", "data-key": "ranking" }, h("h2", null, "Ranking"),
    h("p", { class: "sub" }, `the first is set apart from the second by: ${given.rule}`),
    h("div", scroller("Ranking"), h("table", { class: "list" },
      h("thead", null, h("tr", null, ["", "Candidate", "Evidence", "Judge", "Ballots", "Written"].map(heading))),
      h("tbody", null, given.order.map((one) => h("tr", { "data-key": one.digest },
        h("td", { class: "num" }, one.place),
        h("th", { scope: "row" }, one.title, h("div", { class: "sub" }, `${one.agents.join(", ")} · ${one.digest.slice(0, 8)}`)),
        h("td", null, one.evidence.length ? one.evidence.map((e) => [chip(e.standing), " "]) : "no check"),
        h("td", { class: "num" }, shown(one.judge)), h("td", { class: "num" }, shown(one.ballots)), h("td", { class: "num" }, `${one.support}×`)))))),
    given.dissent.length ? [h("h3", null, "Dissent"), h("ul", { class: "plain" }, given.dissent.map((one) =>
      h("li", null, h("b", null, one.by), ` preferred ${one.preferred.join(", ")}: ${one.reason}`)))] : h("p", { class: "sub" }, "nobody dissented"));
}

export function contextPack(state) {
  const pack = state.pack;
  return h("section", { class: "card", "data-key": "pack" }, h("h2", null, "What the council was told"),
    state.description ? h("p", null, state.description) : null,
    state.acceptance.length ? [h("h3", null, "Acceptance"), h("ul", null, state.acceptance.map((one) => h("li", null, one)))] : null,
    state.constraints.length ? [h("h3", null, "Constraints"), h("ul", null, state.constraints.map((one) => h("li", null, one)))] : null,
    pack ? [
      h("h3", null, "Context pack"),
      h("p", { class: "sub" }, `${count(pack.tokens)} of ${count(pack.budget)} tokens, counted by ${pack.counted_by} · revision ${pack.revision} of the story`),
      ledger(pack.ledger ?? []),
      h("details", { "data-key": "pack-text" }, h("summary", null, "The pack, word for word"), h("pre", { tabindex: "0" }, pack.text)),
    ] : h("p", { class: "muted" }, "The context pack is not there yet."));
}

function ledger(entries) {
  if (!entries.length) return null;
  return h("div", scroller("Ledger"), h("table", { class: "list" },
    h("caption", { class: "hidden" }, "The ledger: what was considered, and why it is in or out"),
    h("thead", null, h("tr", null, ["Item", "Kind", "Tokens", "In", "Why"].map(heading))),
    h("tbody", null, entries.map((entry, at) => h("tr", { "data-key": `${at}-${entry.item}`, class: entry.included ? null : "out" },
      h("th", { scope: "row" }, entry.item), h("td", null, entry.kind), h("td", { class: "num" }, count(entry.tokens)),
      h("td", null, entry.included ? "yes" : "no"), h("td", { class: "grow" }, entry.reason))))));
}
