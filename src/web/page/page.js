"use strict";
/* Asks the daemon every two seconds and draws what it says. */
import { ask, whenTokenGiven } from "/ask.js";
import { byId, el, facts, lines, meter, muted, say, state, table } from "/build.js";
import { follow } from "/changes.js";
import { PATHS, agesChart, refreshedChart } from "/charts.js";
import { lookUp } from "/wallet.js";
import { ago, amount, bytes, duration, moment, short, since, whole } from "/words.js";

const POLL_MS = 2000, HISTORY_EVERY = 5, DRIFT_EVERY = 5, DRIFT_SHOWN = 6;
const WORDS = { green: "The table can be trusted", amber: "Not every row can be trusted", red: "The table cannot be trusted right now" };
const MARKS = { green: "✓", amber: "…", red: "✗" };
let history = [], round = 0, chosen = "", lastStatus = null;

/* ---- can it be trusted? ---- */

function verdict(colour, text, reasons, notes) {
  byId("verdict").className = `verdict ${colour}`;
  say("verdict-word", WORDS[colour]);
  say("verdict-text", text);
  lines("reasons", reasons);
  lines("notes", notes);
  document.title = `${MARKS[colour]} trueup`;
}

/* ---- where it stands ---- */

const current = (s) => s.balances.find((b) => b.name === chosen) || s.balances[0];

function drawChoice(s) {
  const select = byId("balance"), names = s.balances.map((b) => b.name).join(" ");
  byId("balance-choice").hidden = s.balances.length < 2;
  if (select.dataset.names === names) return;
  select.dataset.names = names;
  select.replaceChildren(...s.balances.map((b) => el("option", { value: b.name }, b.name)));
}

function drawChain(s, b) {
  const c = s.chain, checkpoint = b ? b.checkpoint : null;
  const behind = (n) => (n === null || c.head === null ? null : c.head - n);
  const lag = (n) => `${whole(behind(n))} block${behind(n) === 1 ? "" : "s"} behind the head`;
  say("head", whole(c.head));
  say("synced", whole(c.synced));
  say("finalized", whole(c.finalized));
  say("checkpoint", whole(checkpoint));
  say("head-note", c.head_time ? `mined ${ago(c.head_time, s.time)}` : "newest block known");
  say("synced-note", behind(c.synced) === null ? "events answered up to here" : behind(c.synced) > 0 ? lag(c.synced) : "level with the head");
  say("finalized-note", behind(c.finalized) === null ? "will not be taken back" : `will not be taken back; ${whole(behind(c.finalized))} behind`);
  say("checkpoint-note", b && b.rescanning ? "events are being read again" : "a restart goes on from here");
  const mode = c.mode === "polling" ? "polling" : "subscribed";
  say("about", `${s.version} · chain ${c.id === null ? "unknown" : c.id} · ${mode} · ${s.store.kind === "sqlite" ? "SQLite" : "PostgreSQL"}${s.role === "standby" ? " · standby" : ""}`);
}

/* ---- rows and sweep ---- */

function drawRows(s, b) {
  if (!b || b.rows === undefined) {
    facts("rows-facts", [["rows", "not counted yet"]]);
    return;
  }
  const promise = s.sweep.max_age_ms / 1000, late = promise > 0 && b.oldest_age_seconds > promise;
  facts("rows-facts", [["rows", whole(b.rows)], ["oldest", duration(b.oldest_age_seconds), late ? "amber" : ""],
    ["half are younger than", duration(b.age_quantiles["0.5"])], ["not anchored", whole(b.unanchored), b.unanchored ? "amber" : ""],
    ["in quarantine", whole(b.quarantined), b.quarantined ? "amber" : ""]]);
  agesChart(b, promise);
  say("rows-note", `${promise > 0 ? `Promised: no row older than ${duration(promise)}. ` : ""}Counted ${ago(b.as_of, s.time)}.`);
}

function drawSweep(s, b) {
  const w = s.sweep, lap = b && b.lap, rows = (b && b.rows) || 0;
  const share = lap && rows ? Math.min(1, lap.rows / rows) : 0, known = lap && lap.full_pass_seconds !== null;
  meter("sweep-progress", share, `${Math.round(share * 100)} %`);
  say("sweep-lead", known ? `Every row once in ${duration(lap.full_pass_seconds)}` : "No rate known yet");
  say("sweep-note", lap && lap.started
    ? `Lap ${whole(lap.number)}: ${whole(Math.min(lap.rows, rows))} of ${whole(rows)} rows${known ? `, ${duration(lap.full_pass_seconds * (1 - share))} to go` : ""}`
    : "No lap has begun.");
  facts("sweep-facts", [["rows a second", w.rows_per_second.toFixed(w.rows_per_second < 10 ? 1 : 0)],
    ["a tick every", duration(w.interval_ms / 1000)], ["rows last tick", whole(w.last_tick_rows)],
    ["ticks done", whole(w.done)], ["dropped", whole(w.dropped), w.dropped ? "amber" : ""], ["failed", whole(w.failed), w.failed ? "amber" : ""]]);
}

function drawCost(s, b) {
  const budget = s.budget, lap = (b && b.lap) || {}, share = budget.per_day ? budget.spent_today / budget.per_day : 0;
  say("cost-lead", budget.per_day ? `${whole(budget.spent_today)} of ${whole(budget.per_day)} units` : `${whole(budget.spent_since_start)} units`);
  say("cost-note", budget.per_day ? `${(share * 100).toFixed(share < .1 ? 1 : 0)} % of today's budget (UTC)${budget.per_second ? `; at most ${whole(budget.per_second)} a second` : ""}`
    : `spent since the start ${ago(s.started, s.time)}; ${budget.per_second ? `at most ${whole(budget.per_second)} a second` : "no budget is set"}`);
  byId("cost-progress").hidden = !budget.per_day;
  meter("cost-progress", Math.min(1, share), `${Math.round(share * 100)} %`);
  facts("cost-facts", [["requests", whole(lap.full_pass_requests)], ["units", whole(lap.full_pass_units)],
    ["traffic", bytes(lap.full_pass_bytes)], ["time", duration(lap.full_pass_seconds)]]);
}

function drawLegend(s) {
  byId("legend").replaceChildren(...PATHS.map((p, i) => [p, i]).filter(([p]) => s.refreshed[p] > 0 || p === "event" || p === "sweep")
    .map(([p, i]) => el("li", { class: `p${i}` }, `${p} ${whole(s.refreshed[p])}`)));
}

/* ---- drift ---- */

function drawDrift(s) {
  const d = s.drift;
  say("drift-lead", d.total ? `${whole(d.total)} row${d.total === 1 ? "" : "s"}` : "None so far");
  byId("drift-causes").replaceChildren(...d.causes.map((c) =>
    el("li", {}, `${c.cause} ${whole(c.rows)}`, s.balances.length > 1 ? ` (${c.balance})` : "")));
  byId("drift-latest").hidden = !d.total;
}

function driftRow(record) {
  const link = el("a", { href: `#${record.wallet}`, class: "mono", title: record.wallet }, short(record.wallet));
  link.addEventListener("click", (e) => { e.preventDefault(); showWallet(record.wallet, record.balance); });
  return [[link], el("span", { title: `${record.stored} → ${record.actual}` }, `${amount(record.stored)} → ${amount(record.actual)}`),
    record.cause, record.endpoint || "–", whole(record.block), moment(record.found_at)];
}

/* Drawn anew only when there is something new: a reader may be in the middle of it. */
async function refreshDrift() {
  const { data } = await ask(`/v1/drift?limit=${DRIFT_SHOWN}`), box = byId("drift-latest"), ids = (data.drift || []).map((r) => r.id).join(" ");
  if (box.dataset.ids === ids) return;
  box.dataset.ids = ids;
  box.replaceChildren(table([["Wallet"], ["Stored → on chain"], ["Cause"], ["Endpoint"], ["At block", true], ["Found", true]], data.drift.map(driftRow)));
}

/* ---- endpoints and workers ---- */

function endpointRow(e) {
  const faults = Object.entries(e.faults).map(([k, n]) => `${k} ${whole(n)}`);
  if (e.missed_logs) faults.push(`missed logs ${whole(e.missed_logs)}`);
  const words = state(e.up ? "green" : e.state === "set aside" ? "amber" : "red", e.state);
  const more = [e.paused_why, !e.up && e.paused_ms > 0 ? `asked again in ${duration(e.paused_ms / 1000)}` : null].filter(Boolean).join("; ");
  return [e.name, [words, ...(more ? [muted(more)] : [])], e.reader || "–", whole(e.batch),
    e.answered_at ? `${e.latency_ms < 10 ? e.latency_ms.toFixed(1) : Math.round(e.latency_ms)} ms` : "–",
    whole(e.requests), faults.join(", ") || "none", `${bytes(e.bytes_in)} in, ${bytes(e.bytes_out)} out`, whole(e.cost)];
}

function workerRow(w, now) {
  const words = w.running ? state("green", `runs for ${duration(since(w.since, now))}`) : state("red", w.parked ? "is parked: it died too often" : "is down");
  const last = w.last_words || (w.died_of ? `ended with ${w.died_of}` : null);
  return [w.name, [words], whole(w.restarts), [last || el("span", { class: "muted" }, "nothing to complain about"),
    ...(w.last_words ? [muted(`${ago(w.last_words_at, now)}${w.died_of ? `; ended with ${w.died_of}` : ""}`)] : [])]];
}

function drawMachinery(s) {
  byId("endpoints").replaceChildren(table([["Name"], ["State"], ["Reader"], ["Wallets a request", true], ["Latency", true], ["Requests", true],
    ["Faults"], ["Traffic", true], ["Units", true]], s.endpoints.map(endpointRow)));
  byId("workers").replaceChildren(table([["Name"], ["State"], ["Restarts", true], ["Last words"]], s.workers.map((w) => workerRow(w, s.time))));
}

/* ---- all of it ---- */

function draw(s) {
  const b = current(s);
  lastStatus = s;
  verdict(s.verdict.state, s.verdict.text, s.verdict.reasons.map((r) => r.text), s.verdict.notes);
  drawChoice(s);
  drawChain(s, b);
  drawRows(s, b);
  drawSweep(s, b);
  drawCost(s, b);
  drawLegend(s);
  drawDrift(s);
  drawMachinery(s);
  say("foot", `Figures of ${new Date(s.time).toLocaleTimeString()}. The same as JSON: /v1/status; for Prometheus: /metrics.`);
}

async function refresh() {
  const turn = round++;
  try {
    const { data } = await ask(turn % HISTORY_EVERY === 0 ? "/v1/status?history=1" : "/v1/status");
    draw(data);
    if (data.history) refreshedChart(history = data.history);
    if (data.drift.total && turn % DRIFT_EVERY === 0) await refreshDrift();
  } catch (e) {
    verdict("red", "The daemon cannot be reached; the figures below are old.", [e.message], []);
    round = 0;
  }
}

function showWallet(wallet, balance) {
  byId("wallet").value = wallet;
  lookUp(balance);
  byId("lookup-title").scrollIntoView({ block: "start" });
  byId("wallet").focus({ preventScroll: true });
}

byId("lookup").addEventListener("submit", (e) => {
  e.preventDefault();
  lookUp(lastStatus && current(lastStatus) ? current(lastStatus).name : "");
});
byId("balance").addEventListener("change", (e) => {
  chosen = e.target.value;
  if (lastStatus) draw(lastStatus);
});
addEventListener("resize", () => {
  if (!lastStatus) return;
  drawRows(lastStatus, current(lastStatus));
  refreshedChart(history);
});
whenTokenGiven(() => { refresh(); follow(showWallet); });

refresh();
follow(showWallet);
setInterval(refresh, POLL_MS);
