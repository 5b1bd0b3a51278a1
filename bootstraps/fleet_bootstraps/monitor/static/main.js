// The frame: which page is shown, when it is drawn, and what the whole page listens to.

import { ask, post, toast } from "./api.js";
import { draw, h } from "./dom.js";
import { follow, leave, onChange, seen } from "./store.js";
import * as overview from "./overview.js";
import * as plans from "./plans.js";
import * as deliberation from "./deliberation.js";
import * as deliberations from "./deliberations.js";
import * as councils from "./councils.js";
import * as decisions from "./decisions.js";
import * as jobs from "./jobs.js";
import * as letters from "./letters.js";
import * as search from "./search.js";

const PAGES = [
  ["", overview, "Overview", "o"],
  ["plans", plans, "Plans", "p"],
  ["deliberations", deliberations, "Deliberations", "d"],
  ["councils", councils, "Councils", "c"],
  ["decisions", decisions, "Decisions", "g"],
  ["jobs", jobs, "Jobs", "j"],
  ["letters", letters, "Dead letters", "l"],
];
const HIDDEN = [["deliberation", deliberation], ["search", search]];
const main = document.getElementById("main");
const session = { may: { look: false, act: false } };
let current = null;
let wanted = false;
let timer = null;

export const may = () => session.may;

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [head, ...rest] = path.split("/").map((part) => {
    try { return decodeURIComponent(part); } catch { return part; }
  });
  const found = [...PAGES, ...HIDDEN].find(([name]) => name === head) ?? PAGES[0];
  const page = head === "deliberations" && rest[0] ? deliberation : found[1];
  return { name: found[0], page, rest, query: new URLSearchParams(query ?? "") };
}

async function go() {
  const next = route();
  current?.page.leave?.();
  current = next;
  main.replaceChildren();
  document.title = `${next.page.title ?? "Fleet"} · Fleet monitor`;
  nav();
  if (!session.may.look) return signIn();
  const followed = next.page === deliberation ? next.rest[0] : "";
  follow(followed);
  redraw();
  try {
    await next.page.enter?.({ ...next, redraw, may: may() });
  } catch (error) {
    failed(error);
  }
  redraw();
}

function failed(error) {
  if (error.status === 401) { session.may = { ...session.may, look: false }; go(); return; }
  draw(main, h("div", { class: "card bad-edge" }, h("h1", null, "This cannot be shown"), h("p", null, error.message)));
  current = null;
}

// Many events make one drawing, and a page in the background makes none.
function redraw() {
  if (wanted) return;
  wanted = true;
  const wait = Math.max(0, 120 - (performance.now() - seen.drawn));
  timer = setTimeout(() => requestAnimationFrame(drawNow), wait);
}

function drawNow() {
  wanted = false;
  seen.drawn = performance.now();
  link();
  if (!current || !session.may.look) return;
  try {
    draw(main, current.page.view({ ...current, may: may(), redraw }));
    for (const words of document.querySelectorAll("pre.words:not(:hover, :focus)")) words.scrollTop = words.scrollHeight;
    document.title = `${current.page.name?.() ?? current.page.title} · Fleet monitor`;
  } catch (error) {
    failed(error);
  }
}

function link() {
  const said = { live: "live", waiting: "reconnecting…", connecting: "connecting…" }[seen.state];
  const text = session.may.source === "file" ? "replay of a file" : said;
  const place = document.getElementById("link");
  place.dataset.state = seen.state;
  draw(place, text);
  nav();
}

function nav() {
  const head = current?.name === "deliberation" ? "deliberations" : current?.name;
  draw(document.getElementById("nav"), PAGES.map(([name, , label, key]) =>
    h("a", {
      href: `#/${name}`, "aria-current": head === name ? "page" : null, title: `${label} (g ${key})`, "data-key": `nav-${name}`,
    }, label, name === "letters" && seen.letters ? h("span", { class: "badge" }, seen.letters) : null)));
}

function signIn() {
  draw(main, h("form", { class: "card sign-in", id: "sign-in" },
    h("h1", null, "Sign in"),
    h("p", null, "This monitor asks for a token. The token looks; the admin token looks and acts."),
    h("label", { for: "token" }, "Token"),
    h("input", { id: "token", type: "password", autocomplete: "current-password", required: true, maxlength: 4096 }),
    h("button", { type: "submit", class: "primary" }, "Sign in"),
    h("p", { class: "bad-text", role: "alert", id: "sign-in-said" })));
  document.getElementById("token").focus();
  document.getElementById("sign-in").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      session.may = await post("/api/session", { token: document.getElementById("token").value });
      frame();
      go();
    } catch (error) {
      document.getElementById("sign-in-said").textContent = error.message;
    }
  });
}

function frame() {
  draw(document.getElementById("source"), session.may.name);
  document.getElementById("leave").hidden = !(session.may.look && session.may.asks_for_a_token);
}

document.getElementById("leave").addEventListener("click", async () => {
  await ask("/api/session", { method: "DELETE" });
  leave();
  location.reload();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // its address would be that of another page
  main.focus();
});
document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = document.getElementById("q").value.trim();
  if (text) location.hash = `#/search?q=${encodeURIComponent(text)}`;
});
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a private window keeps nothing */ }
});
try {
  const kept = localStorage.getItem("theme");
  if (kept) document.documentElement.dataset.theme = kept;
} catch { /* as above */ }

// What a page marks with data-act is handed to that page; so drawing anew loses no listener.
document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-act]");
  if (!target || target.matches("input, select, textarea, form")) return;
  event.preventDefault();
  Promise.resolve(current?.page.act?.(target.dataset.act, target, redraw)).catch((error) => toast("not", "Failed", error.message));
});
for (const kind of ["input", "change"]) {
  document.addEventListener(kind, (event) => {
    const target = event.target.closest("input[data-act], select[data-act]");
    if (target && (kind === "input") === (target.type === "range")) current?.page.act?.(target.dataset.act, target, redraw);
  });
}
document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-act]");
  if (!form) return;
  event.preventDefault();
  Promise.resolve(current?.page.act?.(form.dataset.act, form, redraw)).catch((error) => toast("not", "Failed", error.message));
});

let pressed = "";
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { event.preventDefault(); document.getElementById("q").focus(); return; }
  if (pressed === "g") {
    const found = PAGES.find((page) => page[3] === event.key);
    if (found) location.hash = `#/${found[0]}`;
  }
  pressed = event.key;
});

addEventListener("hashchange", async () => { await go(); main.focus({ preventScroll: true }); scrollTo(0, 0); });
onChange((name) => { current?.page.heard?.(name, redraw); redraw(); });
setInterval(() => { if (!document.hidden) redraw(); }, 1000);

try {
  session.may = await ask("/api/session");
} catch (error) {
  toast("not", "The monitor does not answer", error.message);
}
frame();
await go();
