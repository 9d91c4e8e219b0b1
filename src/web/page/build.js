"use strict";
/* Building blocks of the page. Everything that came from outside enters it as text, never as markup. */

export const byId = (id) => document.getElementById(id);

function fill(e, attributes, children) {
  for (const [k, v] of Object.entries(attributes || {})) if (v !== null && v !== undefined) e.setAttribute(k, v);
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}
export const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

/* Only what changed is touched, so that a reader's place and a selection stay. */
export function say(id, text) {
  const e = byId(id);
  if (e.textContent !== text) e.textContent = text;
}
export function lines(id, texts) {
  const list = byId(id), now = texts.join("\n");
  if (list.dataset.now === now) return;
  list.dataset.now = now;
  list.replaceChildren(...texts.map((t) => el("li", {}, t)));
}
/* [name, value, state] */
export function facts(id, list) {
  byId(id).replaceChildren(...list.map(([name, value, state]) =>
    el("div", {}, el("dt", {}, name), el("dd", { class: state || null }, value))));
}
export function meter(id, share, text) {
  byId(id).value = share;
  byId(id).textContent = text;
}

/* A table with a head; columns: [title, isNumber]; rows: arrays of cells, each text or elements. */
export function table(columns, rows) {
  const kind = (i) => ({ class: columns[i][1] ? "n" : null });
  return el("table", {},
    el("thead", {}, el("tr", {}, ...columns.map(([title], i) => el("th", { scope: "col", ...kind(i) }, title)))),
    el("tbody", {}, ...rows.map((cells) => el("tr", {}, ...cells.map((c, i) =>
      el("td", kind(i), ...(Array.isArray(c) ? c : [c])))))));
}
export const state = (colour, text) => el("span", { class: `state ${colour}` }, text);
export const muted = (text) => el("div", { class: "muted" }, text);
