// Asking the server, and telling how an action went.

import { h } from "./dom.js";

export class Refused extends Error {
  constructor(status, code, message, hint) {
    super(hint ? `${message} (${hint})` : message);
    this.status = status;
    this.code = code;
  }
}

export async function ask(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { Accept: "application/json", ...options.headers } });
  const data = await response.json().catch(() => null);
  if (response.ok) return data;
  if (data && "carried_out" in data) return data;
  const error = data?.error ?? {};
  throw new Refused(response.status, error.code ?? "", error.message ?? `status ${response.status}`, error.hint ?? "");
}

export function post(path, body) {
  return ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body ?? {}),
  });
}

// Does an action; what was not carried out is shown as not carried out, and why.
export async function act(label, path, body) {
  try {
    const done = await post(path, body);
    toast(done.carried_out ? "done" : "not", label, done.carried_out ? done.said : `not carried out: ${done.said}`);
    return done;
  } catch (error) {
    toast("not", label, `not carried out: ${error.message}`);
    return null;
  }
}

export function toast(kind, title, text) {
  const made = h("div", { class: `toast ${kind}`, "data-toast": kind }, h("strong", null, title), h("span", null, text),
    h("button", { type: "button", class: "quiet", "aria-label": "Close" }, "×"));
  made.querySelector("button").addEventListener("click", () => made.remove());
  const all = document.getElementById("toasts");
  all.append(made);
  while (all.children.length > 4) all.firstChild.remove();
  if (kind === "done") setTimeout(() => made.remove(), 8000);
}
