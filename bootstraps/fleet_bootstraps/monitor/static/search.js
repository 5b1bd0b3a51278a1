// What holds all the words that are looked for.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { chip, empty } from "./parts.js";

export const title = "Search";
let told = null;

export async function enter({ query, redraw }) {
  const q = query.get("q") ?? "";
  document.getElementById("q").value = q;
  told = q ? await ask(`/api/search?${new URLSearchParams({ q })}`) : { q, found: [] };
  redraw();
}

export function view() {
  if (!told) return empty("Looking…");
  return h("div", { class: "stack" },
    h("h1", null, `“${told.q}”`),
    told.found.length ? h("ul", { class: "plain card" }, told.found.map((one) => h("li", { "data-key": one.id },
      h("a", { href: `#/${one.kind === "plan" ? "plans" : "deliberations"}/${one.id}` }, one.title || one.id), " ",
      h("span", { class: "muted" }, one.kind), " ", one.state ? chip(one.state) : null,
      h("div", { class: "sub" }, one.text)))) : empty("Nothing that is held here holds all of these words."));
}
