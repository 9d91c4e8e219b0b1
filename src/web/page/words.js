"use strict";
/* How numbers, times and amounts are written. */

const THIN = "\u2009";

export function whole(n) {
  if (n === null || n === undefined) return "–";
  return Number(n).toLocaleString("en").replaceAll(",", THIN);
}

/* Digits of any length, in groups of three. */
export const grouped = (text) => text.replace(/\B(?=(\d{3})+(?!\d))/g, THIN);

/* For an axis or a label over a bar. */
export function brief(n) {
  for (const unit of ["", "k", "M"]) {
    if (n < 1000) return `${n < 10 && n % 1 ? n.toFixed(1) : Math.round(n)}${unit}`;
    n /= 1000;
  }
  return `${n.toFixed(1)}G`;
}

export function duration(s) {
  if (s === null || s === undefined || !isFinite(s)) return "–";
  if (s < 1) return "under 1 s";
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${(s / 3600).toFixed(s < 36000 ? 1 : 0)} h`;
  if (s < 86400 * 730) return `${Math.round(s / 86400)} days`;
  return `${Math.round(s / 31557600)} years`;
}

export function bytes(n) {
  if (n === null || n === undefined) return "–";
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (n < 1000) return `${n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)} ${unit}`;
    n /= 1000;
  }
  return `${n.toFixed(1)} TB`;
}

export const since = (time, now) => (Date.parse(now) - Date.parse(time)) / 1000;
export const ago = (time, now) => (since(time, now) < 1 ? "just now" : `${duration(since(time, now))} ago`);
export const clock = (time) => new Date(time).toLocaleTimeString();
export const moment = (time) => new Date(time).toLocaleString();

/* A number of up to 78 digits: whole when short, else four digits and the power of ten. */
export function amount(text) {
  const minus = text.startsWith("-") ? "\u2212" : "", digits = text.replace(/^-/, "");
  if (digits.length <= 9) return minus + grouped(digits);
  const power = [...String(digits.length - 1)].map((d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d]).join("");
  return `${minus}${digits[0]}.${digits.slice(1, 4)}×10${power}`;
}

/* new − old as text with its sign, or null where that cannot be said. */
export function difference(from, to) {
  try {
    const d = BigInt(to) - BigInt(from === null ? 0 : from);
    return { up: d >= 0n, text: `${d >= 0n ? "+" : ""}${amount(String(d))}` };
  } catch {
    return null;
  }
}

export const short = (wallet) => `${wallet.slice(0, 8)}…${wallet.slice(-6)}`;
