// Jobs that have not ended, and those that failed.

import { act as carryOut, ask } from "./api.js";
import { h } from "./dom.js";
import { chip, empty, heading } from "./parts.js";
import { clock, count, short, span } from "./format.js";
import { deliberations, now } from "./store.js";

export const title = "Jobs";
let told = null;
let timer = null;

export async function enter({ redraw }) {
  const look = async () => { told = await ask("/api/jobs"); redraw(); };
  clearInterval(timer);
  timer = setInterval(() => { if (!document.hidden) look().catch(() => {}); }, 1000);
  await look();
}

export function leave() { clearInterval(timer); }

export function view({ may }) {
  if (!told) return empty("Asking…");
  const failing = [...deliberations.values()].reverse().filter((row) => row.failed_jobs);
  const kill = may.act && may.can_act;
  return h("div", { class: "stack" },
    h("h1", null, "Jobs"),
    told.asked ? null : h("p", { class: "banner warn" }, `How far each is, is not known: ${told.reason}`),
    h("section", { class: "card" }, h("h2", null, "Not ended"),
      told.jobs.length ? h("div", { class: "scroll" }, h("table", { class: "list" },
        h("thead", null, h("tr", null, ["Agent", "Step", "Task", "Phase", "Slice", "Deadline", ...(kill ? [""] : [])].map(heading))),
        h("tbody", null, told.jobs.map((job) => h("tr", { "data-key": job.job_id },
          h("th", { scope: "row" }, job.agent, h("div", { class: "sub" }, short(job.job_id))),
          h("td", null, `${job.step}, round ${job.round}`),
          h("td", null, h("a", { href: `#/deliberations/${job.deliberation_id}` }, job.task)),
          h("td", null, job.phase ? chip(job.phase === "accepted" ? "waiting" : job.phase) : told.asked ? "not with the executor" : "–"),
          h("td", { class: "num" }, `${count(job.tokens)} tok`),
          h("td", { class: "num" }, clock(job.deadline_ms), h("div", { class: "sub" }, span(job.deadline_ms - now()))),
          kill ? h("td", null, h("button", { type: "button", class: "danger", "data-act": "kill", "data-job": job.job_id, "data-of": job.deliberation_id }, "Kill")) : null)))))
        : empty("No job is under way.")),
    told.unknown.length ? h("p", { class: "muted" }, `The executor holds ${count(told.unknown.length)} more, of deliberations that are not shown here.`) : null,
    h("section", { class: "card" }, h("h2", null, "Deliberations with failed jobs"),
      failing.length ? h("ul", { class: "plain" }, failing.slice(0, 50).map((row) => h("li", { "data-key": row.deliberation_id },
        h("a", { href: `#/deliberations/${row.deliberation_id}` }, row.title || row.task), ` · ${count(row.failed_jobs)} failed `, chip(row.state)))) : empty("None.")));
}

export async function act(what, target, redraw) {
  if (what !== "kill") return;
  await carryOut("Kill a job", `/api/admin/deliberations/${encodeURIComponent(target.dataset.of)}/jobs/${encodeURIComponent(target.dataset.job)}/kill`);
  told = await ask("/api/jobs");
  redraw();
}
