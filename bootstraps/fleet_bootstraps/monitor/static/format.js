// Numbers and times for people.

const whole = new Intl.NumberFormat("en");
export const count = (n) => (n === null || n === undefined ? "–" : whole.format(n));

export function usd(micro) { return `$${(micro / 1e6).toFixed(micro < 1e6 ? 4 : 2)}`; }

export function clock(ms, fine = false) {
  if (!ms) return "–";
  const date = new Date(ms);
  const text = date.toLocaleTimeString("en-GB", { hour12: false });
  return fine ? `${text}.${String(date.getMilliseconds()).padStart(3, "0")}` : text;
}

export function stamp(ms) {
  return ms ? `${new Date(ms).toLocaleDateString("en-CA")} ${clock(ms)}` : "–";
}

export function span(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 0) return "0 s";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  const seconds = Math.floor((ms % 60_000) / 1000);
  if (minutes < 60) return `${minutes} min ${String(seconds).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

export const short = (id) => String(id ?? "").slice(0, 12);
export const plural = (n, word, many = `${word}s`) => `${count(n)} ${n === 1 ? word : many}`;
