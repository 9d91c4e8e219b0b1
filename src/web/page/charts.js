"use strict";
/* The two charts, as plain SVG. */
import { byId, svg } from "/build.js";
import { brief, whole } from "/words.js";

export const PATHS = ["event", "sweep", "settle", "reorg", "audit", "backfill"];

const SPAN_MS = 40000, SLOTS = 90; /* an hour */
const FEWEST = 8; /* bars of a histogram */

function chart(id, height, title) {
  const width = byId(id).clientWidth < 520 ? 420 : 760;
  return { width, height, root: svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" }, svg("title", {}, title)) };
}
const label = (x, y, text, anchor = "middle") => svg("text", { x, y, "text-anchor": anchor }, text);

function ageName(s) {
  if (s === null) return "older";
  for (const [unit, name] of [[31536000, "y"], [86400, "d"], [3600, "h"], [60, "m"]])
    if (s >= unit && (s % unit === 0 || s > unit * 10)) return `${Math.round(s / unit)}${name}`;
  return `${s}s`;
}

/* The part of the buckets that has rows, with a little air. */
function shown(ages) {
  const used = ages.map(([, n], i) => (n > 0 ? i : -1)).filter((i) => i >= 0);
  let from = Math.max(0, (used[0] ?? 0) - 1), to = Math.min(ages.length - 1, (used[used.length - 1] ?? 0) + 1);
  while (to - from + 1 < FEWEST && (to < ages.length - 1 || from > 0)) to < ages.length - 1 ? to++ : from--;
  return { from, bars: ages.slice(from, to + 1) };
}

/* Rows by age; promise: seconds no row should be older than, 0 for none. */
export function agesChart(balance, promise) {
  const { from, bars } = shown(balance.ages), bottom = 22, top = 18;
  const total = bars.reduce((sum, [, n]) => sum + n, 0);
  const title = `${whole(total)} rows by age: ` + bars.filter(([, n]) => n > 0)
    .map(([limit, n]) => `${whole(n)} ${limit === null ? "older" : `below ${ageName(limit)}`}`).join(", ");
  const { width, height, root } = chart("ages", 200, title);
  const floor = height - bottom, step = width / bars.length, most = Math.max(1, ...bars.map(([, n]) => n));
  const every = Math.ceil(bars.length * 34 / width);
  root.append(svg("line", { class: "axis", x1: 0, x2: width, y1: floor, y2: floor }));
  bars.forEach(([limit, n], i) => {
    const x = i * step + step * .12, w = step * .76, h = n ? Math.max(3, (floor - top) * n / most) : 0;
    const begins = from + i > 0 ? balance.ages[from + i - 1][0] : 0, late = promise > 0 && begins >= promise;
    if (n) {
      root.append(svg("path", { class: `mark${late ? " late" : ""}`, d: `M${x} ${floor}v${-h + 3}q0 -3 3 -3h${w - 6}q3 0 3 3v${h - 3}z` }));
      root.append(label(x + w / 2, floor - h - 5, brief(n)));
    }
    if ((bars.length - 1 - i) % every === 0) root.append(label(i * step + step / 2, height - 6, limit === null ? "older" : `<${ageName(limit)}`));
  });
  byId("ages").replaceChildren(root);
}

/* Counts that only grow, [ms, n by path …], into rows a second per slot. */
function rates(history) {
  const bins = [];
  for (let i = 1; i < history.length; i++) {
    const slot = Math.floor(history[i][0] / SPAN_MS);
    let bin = bins[bins.length - 1];
    if (!bin || bin.slot !== slot) bins.push(bin = { slot, seconds: 0, rows: PATHS.map(() => 0) });
    bin.seconds += (history[i][0] - history[i - 1][0]) / 1000;
    PATHS.forEach((_, p) => { bin.rows[p] += Math.max(0, history[i][p + 1] - history[i - 1][p + 1]); });
  }
  return bins.map((b) => ({ slot: b.slot, rates: b.rows.map((r) => (b.seconds ? r / b.seconds : 0)) }));
}

/* The height of the scale: one burst must not flatten an hour, so what stands far above the rest is cut. */
function scale(totals) {
  const most = Math.max(.1, ...totals), usual = [...totals].sort((a, b) => a - b)[Math.floor(totals.length * .9)] || 0;
  return { most, limit: usual > 0 && most > 6 * usual ? 2 * usual : most };
}

export function refreshedChart(history) {
  const bins = rates(history), bottom = 20, left = 44, top = 14;
  const totals = bins.map((b) => b.rates.reduce((sum, r) => sum + r, 0)), { most, limit } = scale(totals);
  const { width, height, root } = chart("refreshed", 190, `Rows read a second over the last hour, at most ${brief(most)}`);
  const floor = height - bottom, step = (width - left) / SLOTS, now = bins.length ? bins[bins.length - 1].slot : 0;
  for (const share of [0, .5, 1]) {
    const y = top + (floor - top) * (1 - share);
    root.append(svg("line", { class: "axis", x1: left, x2: width, y1: y, y2: y }), label(left - 7, y + 4, `${brief(limit * share)}/s`, "end"));
  }
  bins.forEach((bin, i) => {
    const slot = SLOTS - 1 - (now - bin.slot), cut = Math.min(1, limit / (totals[i] || 1));
    let y = floor;
    if (slot >= 0 && cut < 1) root.append(label(left + (slot + .5) * step, top - 4, `↑${brief(totals[i])}`));
    bin.rates.forEach((rate, p) => {
      const h = (floor - top) * rate * cut / limit;
      if (slot >= 0 && h > 0) root.append(svg("rect", { class: `p${p}`, x: left + slot * step + .6, width: Math.max(1, step - 1.2), y: (y -= h), height: h }));
    });
  });
  root.append(label(left, height - 4, "1 h ago", "start"), label(width, height - 4, "now", "end"));
  byId("refreshed").replaceChildren(root);
}
