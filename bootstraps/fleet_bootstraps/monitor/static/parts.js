// Pieces that several pages show.

import { h, svg } from "./dom.js";
import { clock, count, plural, short, span, usd } from "./format.js";
import { now } from "./store.js";

const MARKS = {
  decided: "✓", passed: "✓", verified: "✓", ready: "✓", ok: "✓",
  failed: "✕", refuted: "✕", refused: "✕", "not ready": "✕",
  cancelled: "⊘", blocked: "⊘", undecided: "✕",
  running: "▸", provisional: "▸", pending: "○", waiting: "○", unverified: "?", "not run": "?", unknown: "?",
};
const TONES = {
  decided: "ok", passed: "ok", verified: "ok", ready: "ok", ok: "ok",
  failed: "bad", refuted: "bad", refused: "bad", "not ready": "bad", undecided: "bad",
  cancelled: "warn", blocked: "warn", unverified: "warn", "not run": "warn",
  running: "run", provisional: "run", pending: "idle", waiting: "idle",
};
export const OPEN = new Set(["pending", "running", "provisional"]);
export const FAILED = new Set(["failed", "cancelled", "blocked", "refused", "undecided"]);
export const tone = (state) => TONES[state] ?? "idle";

export function chip(state, more = "") {
  if (!state) return null;
  return h("span", { class: `chip ${tone(state)}` }, h("span", { "aria-hidden": "true" }, `${MARKS[state] ?? "·"} `), state, more);
}

// The lease, burning down: what is spent, what is reserved, what is left, and the time that is.
export function lease(figures, started, ended, at) {
  if (!figures) return h("p", { class: "muted" }, "The lease is not known.");
  const { tokens, spent_tokens: spent, reserved_tokens: reserved } = figures;
  const share = (n) => `${Math.min(100, Math.max(0, (100 * n) / Math.max(1, tokens))).toFixed(2)}`;
  const time = ended || at || now();
  const left = figures.deadline_ms - time;
  const whole = Math.max(1, figures.deadline_ms - started);
  const free = Math.max(0, tokens - spent - reserved);
  const over = figures.overrun_tokens ? `; ${count(figures.overrun_tokens)} beyond their slices` : "";
  const money = figures.micro_usd || figures.spent_micro_usd
    ? ` · ${usd(figures.spent_micro_usd)}${figures.micro_usd ? ` of ${usd(figures.micro_usd)}` : ""}` : "";
  return h("div", { class: "lease" },
    meter("Tokens spent and reserved", [["spent", share(spent)], ["reserved", share(reserved)]],
      `${count(spent)} spent, ${count(reserved)} reserved, ${count(free)} of ${count(tokens)} tokens free${over}`),
    h("p", { class: "legend" },
      h("span", { class: "key spent" }, `${count(spent)} spent`), h("span", { class: "key reserved" }, `${count(reserved)} reserved`),
      h("span", { class: "key free" }, `${count(free)} free of ${count(tokens)} tokens`), money, over),
    meter("Time", [["time", Math.min(100, (100 * (time - started)) / whole).toFixed(2)]], `${span(left)} left`),
    h("p", { class: "legend" },
      ended ? `took ${span(ended - started)}; the deadline was ${clock(figures.deadline_ms)}`
        : left > 0 ? `${span(left)} left, until ${clock(figures.deadline_ms)}` : "the deadline has come",
      figures.exhausted ? h("strong", { class: "bad-text" }, " · the lease is exhausted") : null));
}

// A bar without inline styles, which the page's policy forbids: an SVG of rectangles.
function meter(label, parts, said) {
  let x = 0;
  const rects = parts.map(([kind, width]) => {
    const made = svg("rect", { class: kind, x: String(x), y: "0", width, height: "8" });
    x += Number(width);
    return made;
  });
  return svg("svg", { class: "meter", viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img", "aria-label": `${label}: ${said}` },
    svg("rect", { class: "rest", x: "0", y: "0", width: "100", height: "8" }), rects);
}

export function deliberationTable(rows, empty) {
  if (!rows.length) return h("p", { class: "muted empty" }, empty);
  return h("div", { class: "scroll" }, h("table", { class: "list" },
    h("thead", null, h("tr", null, ["Task", "State", "Now or result", "Winner", "Spent", "Time"].map(heading))),
    h("tbody", null, rows.map((row) => h("tr", { "data-key": row.deliberation_id },
      h("th", { scope: "row" }, h("a", { href: `#/deliberations/${row.deliberation_id}` }, row.title || row.task || short(row.deliberation_id)),
        h("div", { class: "sub" }, [row.task, row.role, row.attempt > 1 ? `attempt ${row.attempt}` : ""].filter(Boolean).join(" · "))),
      h("td", null, chip(row.state), " ", row.standing ? chip(row.standing) : null),
      h("td", { class: "grow" }, nowOf(row)),
      h("td", { class: "name" }, h("span", { class: "narrow" }, "winner "), row.winner || "–"),
      h("td", { class: "num" }, row.lease ? `${count(row.lease.spent_tokens)} tok` : "–",
        row.failed_jobs ? h("div", { class: "sub bad-text" }, plural(row.failed_jobs, "failed job")) : null),
      h("td", { class: "num" }, span((row.ended_ms || (OPEN.has(row.state) ? now() : row.changed_ms)) - row.started_ms)))))));
}

const NUMBERS = new Set(["Spent", "Time", "Tokens", "Judge", "Ballots", "Written", "Slice", "Deadline", "Temperature", "Longest answer", "Seed"]);
// The head of a column; those of numbers stand over them.
export const heading = (name) => h("th", { scope: "col", class: NUMBERS.has(name) ? "num" : null }, name);

function nowOf(row) {
  if (row.trouble) return h("span", { class: "warn-text" }, row.trouble);
  if (row.reason) return h("span", { class: "bad-text" }, row.reason);
  if (row.step) return `${row.step}: ${row.answered} of ${row.asked}`;
  if (row.decision) return row.decision;
  return row.state === "pending" ? "waiting for the context pack" : "";
}

export function failedToggle(on) {
  return h("label", { class: "toggle" }, h("input", { type: "checkbox", "data-act": "failed", checked: on || null, id: "failed-only" }), "failed only");
}

// What may be wider than the screen, for those who scroll by keys.
export const scroller = (label) => ({ class: "scroll", tabindex: "0", role: "region", "aria-label": label });

export const empty = (text) => h("p", { class: "muted empty" }, text);
