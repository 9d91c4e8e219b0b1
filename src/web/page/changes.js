"use strict";
/* Changes as they happen: a stream read with fetch, since EventSource sends no token. */
import { headers, wantToken } from "/ask.js";
import { byId, el, say } from "/build.js";
import { amount, clock, difference, short, whole } from "/words.js";

const MOST = 60, RETRY_MS = 2000;
let run = 0, last = "", chosen = () => {};

function show(change) {
  const list = byId("feed"), d = difference(change.old, change.new);
  const link = el("a", { href: `#${change.wallet}`, class: "mono", title: change.wallet }, short(change.wallet));
  link.addEventListener("click", (e) => { e.preventDefault(); chosen(change.wallet, change.balance); });
  byId("feed-empty").hidden = true;
  list.prepend(el("li", { class: "new" }, link,
    el("span", { class: `amount ${d ? (d.up ? "up" : "down") : ""}`, title: `${change.old === null ? "new" : change.old} → ${change.new}` },
      d ? d.text : amount(change.new)),
    el("span", { class: "sub" }, `${change.cause}, block ${whole(change.block)}`), el("span", { class: "sub" }, clock(change.at))));
  while (list.children.length > MOST) list.lastChild.remove();
}

/* A gap or another epoch needs no word here: the stream goes on behind it, by its id. */
function take(event) {
  let data = "", kind = "";
  for (const line of event.split("\n")) {
    if (line.startsWith("id: ")) last = line.slice(4);
    if (line.startsWith("event: ")) kind = line.slice(7);
    if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (kind === "change") show(JSON.parse(data));
}

async function read(mine) {
  const reply = await fetch("/v1/changes?recent=20", { headers: { ...headers(), ...(last ? { "Last-Event-ID": last } : {}) }, cache: "no-store" });
  if (reply.status === 401) wantToken();
  if (!reply.ok) throw new Error(`status ${reply.status}`);
  say("feed-state", "· live");
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; mine === run;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    events.forEach(take);
  }
}

/* Again and again, from where it broke off. onWallet(wallet, balance): one was chosen. */
export async function follow(onWallet) {
  const mine = ++run;
  chosen = onWallet;
  while (mine === run) {
    try { await read(mine); } catch { /* said below */ }
    if (mine !== run) return;
    say("feed-state", "· interrupted");
    await new Promise((r) => setTimeout(r, RETRY_MS));
  }
}
