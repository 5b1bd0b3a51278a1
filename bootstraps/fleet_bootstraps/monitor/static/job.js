// A job in a dialog: exactly what was asked, and exactly what was answered.

import { ask } from "./api.js";
import { draw, h } from "./dom.js";
import { chip } from "./parts.js";
import { count, span } from "./format.js";

const dialog = document.getElementById("dialog");

export async function showJob(path, jobId) {
  const job = await ask(`${path}/jobs/${encodeURIComponent(jobId)}`);
  draw(dialog, h("div", { class: "row" }, h("h2", { id: "dialog-title" }, `${job.step} of ${job.agent}`), job.outcome ? chip(job.outcome) : chip("running"), h("span", { class: "spacer" }),
    h("form", { method: "dialog" }, h("button", { class: "quiet", value: "close", autofocus: true }, "Close"))),
  h("p", { class: "sub" }, [job.job_id, `round ${job.round}`, `slice ${count((job.slice.prompt_tokens ?? 0) + (job.slice.answer_tokens ?? 0))} tokens`,
    job.ms ? span(job.ms) : "", job.usage ? `${count((job.usage.prompt_tokens ?? 0) + (job.usage.answer_tokens ?? 0))} tokens used` : ""].filter(Boolean).join(" · ")),
  h("h3", null, "Asked"), asked(job.asked),
  h("h3", null, "Answered"),
  job.failure ? h("p", { class: "bad-text" }, `${job.failure.code}: ${job.failure.reason}`) : null,
  job.answer ? h("pre", { tabindex: "0" }, job.answer) : h("p", { class: "muted" }, job.outcome ? "nothing" : "not yet"));
  dialog.showModal();
}

function asked(given) {
  if (!given) return h("p", { class: "muted" }, "The log does not issue this job.");
  if (given.kind === "check") return h("pre", { tabindex: "0" }, given.text);
  return [
    h("p", { class: "sub" }, [`binding ${given.binding}`, given.model, ...Object.entries(given.sampling).map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`)].filter(Boolean).join(" · ")),
    given.messages.map((message) => h("div", { class: "message" }, h("p", { class: "sub" }, message.speaker), h("pre", { tabindex: "0" }, message.text))),
    given.schema ? h("details", null, h("summary", null, "The schema of the answer"), h("pre", null, JSON.stringify(given.schema, null, 2))) : null,
  ];
}

dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
