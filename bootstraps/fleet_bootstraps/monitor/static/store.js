// What the server has told: a row for each plan and deliberation, and the words that are said.

export const plans = new Map();
export const deliberations = new Map();
export const words = new Map(); // job id -> { text, gap }
export const seen = { letters: 0, ready: false, state: "connecting", offset: 0, last: 0, drawn: 0 };

const listeners = new Set();
export function onChange(listener) { listeners.add(listener); return () => listeners.delete(listener); }

let source = null;
let followed = "";
let lastId = "";
let epoch = "";

// The server's clock, so that deadlines burn down right whatever this machine's says.
export const now = () => Date.now() + seen.offset;

export function follow(deliberation = "") {
  if (source && followed === deliberation && source.readyState !== EventSource.CLOSED) return;
  followed = deliberation;
  source?.close();
  const query = new URLSearchParams();
  if (deliberation) query.set("deliberation", deliberation);
  if (lastId) query.set("last_event_id", lastId);
  source = new EventSource(`/api/events?${query}`);
  source.onopen = () => change("link", () => { seen.state = "live"; });
  source.onerror = () => change("link", () => {
    seen.state = "waiting";
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(followed), 3000);
  });
  on("hello", (data) => {
    seen.offset = data.now_ms - Date.now();
    if (data.epoch !== epoch && !data.resumed) { plans.clear(); deliberations.clear(); }
    epoch = data.epoch;
  });
  on("ready", () => { seen.ready = true; });
  on("plan", (data) => { renewed(plans, data.plan_id, data); });
  on("deliberation", (data) => {
    renewed(deliberations, data.deliberation_id, data);
    if (!OPEN.has(data.state)) forget(data.deliberation_id);
  });
  on("letters", (data) => { seen.letters = data.letters; });
  on("words", (data) => hear(data));
}

export function leave() { source?.close(); source = null; }

const OPEN = new Set(["pending", "running", "provisional"]);
const spoken = new Map(); // deliberation -> job ids
function hear(data) {
  const held = words.get(data.job_id);
  const end = held ? held.start + held.text.length : 0;
  if (held && data.offset === end) held.text += data.text;
  else if (held && data.offset > held.start && data.offset < end) {
    held.text = held.text.slice(0, data.offset - held.start) + data.text;
  } else words.set(data.job_id, { start: data.offset, text: data.text });
  const kept = words.get(data.job_id);
  if (kept.text.length > 100_000) {
    kept.start += kept.text.length - 100_000;
    kept.text = kept.text.slice(-100_000);
  }
  if (!spoken.has(data.deliberation_id)) spoken.set(data.deliberation_id, new Set());
  spoken.get(data.deliberation_id).add(data.job_id);
}

function forget(deliberation) {
  for (const job of spoken.get(deliberation) ?? []) words.delete(job);
  spoken.delete(deliberation);
}

function renewed(map, id, data) { map.delete(id); map.set(id, data); }

function on(name, take) {
  const mine = source;
  mine.addEventListener(name, (event) => {
    if (mine !== source) return;
    if (event.lastEventId) lastId = event.lastEventId;
    change(name, () => take(JSON.parse(event.data)), event.data);
  });
}

function change(name, work) {
  work();
  seen.last = performance.now();
  for (const listener of listeners) listener(name);
}
