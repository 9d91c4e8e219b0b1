"use strict";
/* Look-up of one wallet: its row, what holds it up, and its last changes. */
import { ask } from "/ask.js";
import { byId, el, state, table } from "/build.js";
import { grouped, moment, whole } from "/words.js";

function row(data, balance) {
  const pairs = [["wallet", data.wallet], ["in balance", balance],
    ["read at block", data.observed_block === null ? "not anchored yet" : whole(data.observed_block)],
    ["last event at block", data.blocknumber === null ? "none" : whole(data.blocknumber)],
    ["read", data.updated_at ? moment(data.updated_at) : "–"]];
  return [el("p", { class: "lead mono" }, grouped(data.balance)),
    el("dl", { class: "facts loose" }, ...pairs.map(([n, v]) => el("div", {}, el("dt", {}, n), el("dd", { class: "mono" }, v))))];
}

function history(changes) {
  const rows = changes.map((c) => [moment(c.at), c.cause, whole(c.block), c.old === null ? "new" : grouped(c.old), grouped(c.new)]);
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Last changes of this wallet" },
    table([["When"], ["Cause"], ["Block", true], ["From", true], ["To", true]], rows));
}

async function answer(wallet, balance) {
  const path = `/v1/balances/${encodeURIComponent(balance)}/${encodeURIComponent(wallet)}?history=20`;
  const { status, data } = await ask(path), q = data.quarantine;
  return [...(status === 200 ? row(data, balance) : [el("p", {}, data.error || `status ${status}`)]),
    q ? el("p", {}, state("amber", `In quarantine: ${q.reason} (failed ${whole(q.failures)} times; next try ${moment(q.retry_at)})`)) : null,
    data.history && data.history.length ? history(data.history) : null].filter(Boolean);
}

export async function lookUp(balance) {
  let parts;
  try {
    parts = await answer(byId("wallet").value.trim(), balance);
  } catch (e) {
    parts = [el("p", {}, `No answer: ${e.message}`)];
  }
  byId("lookup-answer").replaceChildren(...parts);
}
