// Elements from data. Text becomes text nodes, never markup: there is no innerHTML anywhere.

const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;
const LONGEST = 200_000;

// A text as it can be shown: whatever steers or hides is written out, and megabytes are cut.
export function shown(text) {
  const given = String(text ?? "");
  const cut = given.length > LONGEST
    ? `${given.slice(0, LONGEST)}\n[${given.length - LONGEST} more characters are not shown]`
    : given;
  return cut.replace(HIDDEN, (c) =>
    c === "\n" || c === "\t" ? c : `\\u{${c.codePointAt(0).toString(16)}}`);
}

// An element. Attributes that are null or false are left out; children that are null, too.
export function h(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    made.setAttribute(name, value === true ? "" : shown(value));
  }
  return filled(made, children);
}

const SVG = "http://www.w3.org/2000/svg";
export function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined) made.setAttribute(name, shown(value));
  }
  return filled(made, children);
}

function filled(made, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    made.append(child instanceof Node ? child : document.createTextNode(shown(child)));
  }
  return made;
}

// Makes `old` like `wanted`, touching only what differs: what is open, focused or scrolled stays.
export function morph(old, wanted) {
  if (old.nodeType !== wanted.nodeType || old.nodeName !== wanted.nodeName
      || keyOf(old) !== keyOf(wanted)) {
    old.replaceWith(wanted);
    return wanted;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== wanted.data) old.data = wanted.data;
    return old;
  }
  attributes(old, wanted);
  if (old.hasAttribute("data-own")) return old; // draws what is in it itself
  const keyed = new Map();
  for (const child of old.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
  let at = old.firstChild;
  for (const child of [...wanted.childNodes]) {
    const key = keyOf(child);
    const held = key ? keyed.get(key) : null;
    if (held && held !== at) old.insertBefore(held, at);
    else if (!held && key) { old.insertBefore(child, at); continue; }
    const target = held ?? at;
    if (!target) { old.append(child); continue; }
    if (!key && keyOf(target)) { old.insertBefore(child, target); continue; }
    at = target.nextSibling;
    morph(target, child);
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
  return old;
}

function keyOf(node) { return node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null; }

// What the reader has opened, typed or chosen stays.
const kept = (node, name) =>
  (name === "open" && node.nodeName === "DETAILS")
  || ((name === "value" || name === "checked") && node.nodeName === "INPUT" && !node.hasAttribute("data-driven"));

function attributes(old, wanted) {
  for (const { name } of [...old.attributes]) {
    if (!wanted.hasAttribute(name) && !kept(old, name)) old.removeAttribute(name);
  }
  for (const { name, value } of [...wanted.attributes]) {
    if (!kept(old, name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.hasAttribute("data-driven") && document.activeElement !== old) old.value = wanted.value;
}

export function draw(place, ...children) {
  const wanted = place.cloneNode(false);
  filled(wanted, children);
  morph(place, wanted);
}
