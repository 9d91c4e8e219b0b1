"use strict";
/* Asks the daemon every two seconds and draws what it says. Everything that came from outside enters
   the page as text, never as markup. */
(() => {
  const POLL_MS = 2000, HISTORY_EVERY = 5, FEED_MOST = 60, GIVE_UP_MS = 8000;
  const PATHS = ["event", "sweep", "settle", "reorg", "audit", "backfill"];
  const WORDS = { green: "True", amber: "Catching up", red: "Not to be trusted" };
  const byId = (id) => document.getElementById(id);
  let token = sessionStorage.getItem("token") || "";
  let history = [], round = 0, chosen = "", lastStatus = null, feedLast = "";

  /* ---- building ---- */
  function el(tag, attributes, ...children) {
    const e = document.createElement(tag);
    for (const [k, v] of Object.entries(attributes || {})) if (v !== null && v !== undefined) e.setAttribute(k, v);
    e.append(...children.filter((c) => c !== null && c !== undefined));
    return e;
  }
  function svg(tag, attributes, ...children) {
    const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
    e.append(...children);
    return e;
  }
  function say(id, text) { const e = byId(id); if (e.textContent !== text) e.textContent = text; }
  function facts(id, list) {
    byId(id).replaceChildren(...list.map(([name, value, state]) =>
      el("div", {}, el("dt", {}, name), el("dd", { class: state || null }, value))));
  }

  /* ---- words ---- */
  const whole = (n) => n === null || n === undefined ? "–" : Number(n).toLocaleString("en").replaceAll(",", "\u2009");
  function duration(s) {
    if (s === null || s === undefined || !isFinite(s)) return "–";
    if (s < 1) return "under 1 s";
    if (s < 90) return `${Math.round(s)} s`;
    if (s < 5400) return `${Math.round(s / 60)} min`;
    if (s < 172800) return `${(s / 3600).toFixed(s < 36000 ? 1 : 0)} h`;
    if (s < 86400 * 730) return `${Math.round(s / 86400)} days`;
    return `${Math.round(s / 31557600)} years`;
  }
  function bytes(n) {
    for (const unit of ["B", "kB", "MB", "GB"]) { if (n < 1000) return `${n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)} ${unit}`; n /= 1000; }
    return `${n.toFixed(1)} TB`;
  }
  const since = (time, now) => (Date.parse(now) - Date.parse(time)) / 1000;
  const ago = (time, now) => since(time, now) < 1 ? "just now" : `${duration(since(time, now))} ago`;
  /* A number of up to 78 digits: whole when short, else four digits and the power of ten. */
  function amount(text) {
    const minus = text.startsWith("-") ? "\u2212" : "", digits = text.replace(/^-/, "");
    if (digits.length <= 9) return minus + whole(digits);
    const up = [...String(digits.length - 1)].map((d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d]).join("");
    return `${minus}${digits[0]}.${digits.slice(1, 4)}×10${up}`;
  }
  function difference(change) {
    try { return BigInt(change.new) - BigInt(change.old === null ? 0 : change.old); } catch { return null; }
  }
  const short = (wallet) => `${wallet.slice(0, 8)}…${wallet.slice(-6)}`;

  /* ---- asking ---- */
  async function ask(path, options) {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), GIVE_UP_MS);
    try {
      const reply = await fetch(path, { ...options, headers: { ...headers, ...(options && options.headers) }, cache: "no-store", signal: abort.signal });
      if (reply.status === 401) { wantToken(); throw new Error("a token is wanted"); }
      return { status: reply.status, data: await reply.json() };
    } finally { clearTimeout(timer); }
  }
  function wantToken() { const d = byId("ask-token"); if (!d.open) d.showModal(); }
  byId("token-form").addEventListener("submit", () => {
    token = byId("token").value;
    sessionStorage.setItem("token", token);
    byId("token").value = "";
    refresh(); feed();
  });

  /* ---- the verdict ---- */
  function verdict(state, word, text, reasons) {
    byId("verdict").className = `verdict ${state}`;
    say("verdict-word", word); say("verdict-text", text);
    const list = byId("reasons"), now = reasons.map((r) => r.text).join("\n");
    if (list.dataset.now === now) return;
    list.dataset.now = now;
    list.replaceChildren(...reasons.map((r) => el("li", {}, r.text)));
  }

  /* ---- charts: plain SVG ---- */
  function agesChart(balance, maxAge) {
    const edges = [[60, "1 min"], [300, "5 min"], [900, "15 min"], [3600, "1 h"], [21600, "6 h"], [86400, "1 day"], [604800, "7 days"], [2592000, "30 days"], [Infinity, "older"]];
    const bins = edges.map(() => 0);
    for (const [limit, n] of balance.ages) bins[edges.findIndex(([e]) => (limit === null ? Infinity : limit) <= e)] += n;
    const narrow = byId("ages").clientWidth < 520, W = narrow ? 420 : 760, H = narrow ? 190 : 200, bottom = 22, top = 18;
    const most = Math.max(1, ...bins), step = W / bins.length;
    const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" });
    root.append(svg("title", {}, `Rows by age: ${bins.map((n, i) => `${n} ${i ? "up to" : "under"} ${edges[i][1]}`).join(", ")}`));
    root.append(svg("line", { class: "axis", x1: 0, x2: W, y1: H - bottom, y2: H - bottom }));
    bins.forEach((n, i) => {
      const h = n ? Math.max(2, (H - bottom - top) * n / most) : 0, x = i * step + step * .14, w = step * .72;
      const late = maxAge > 0 && (i ? edges[i - 1][0] : 0) * 1000 >= maxAge;
      if (n) {
        root.append(svg("path", { class: `mark${late ? " late" : ""}`, d: `M${x} ${H - bottom}v${-h + 3}q0 -3 3 -3h${w - 6}q3 0 3 3v${h - 3}z` }));
        const label = svg("text", { x: x + w / 2, y: H - bottom - h - 5, "text-anchor": "middle" });
        label.textContent = n >= 10000 ? `${(n / 1000).toFixed(n < 1e5 ? 1 : 0)}k` : String(n);
        root.append(label);
      }
      const name = svg("text", { x: i * step + step / 2, y: H - 6, "text-anchor": "middle" });
      name.textContent = narrow ? edges[i][1].replace(" min", "m").replace(" h", "h").replace(/ days?/, "d") : `${i === bins.length - 1 ? "" : "< "}${edges[i][1]}`;
      root.append(name);
    });
    byId("ages").replaceChildren(root);
  }
  function refreshedChart() {
    const bins = [], SPAN = 40000;
    for (let i = 1; i < history.length; i++) {
      const t = Math.floor(history[i][0] / SPAN), dt = (history[i][0] - history[i - 1][0]) / 1000;
      let bin = bins[bins.length - 1];
      if (!bin || bin.t !== t) bins.push(bin = { t, s: 0, rows: PATHS.map(() => 0) });
      bin.s += dt;
      PATHS.forEach((_, p) => { bin.rows[p] += Math.max(0, history[i][p + 1] - history[i - 1][p + 1]); });
    }
    const narrow = byId("refreshed").clientWidth < 520, W = narrow ? 420 : 760, H = 190, bottom = 20, left = 44;
    const rates = bins.map((b) => b.rows.map((r) => b.s ? r / b.s : 0));
    const most = Math.max(.1, ...rates.map((r) => r.reduce((a, b) => a + b, 0)));
    const slots = 90, step = (W - left) / slots;
    const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" });
    root.append(svg("title", {}, `Rows a second over the last hour, at most ${most.toFixed(1)}`));
    [0, .5, 1].forEach((f) => {
      const y = 8 + (H - bottom - 8) * (1 - f), label = svg("text", { x: left - 7, y: y + 4, "text-anchor": "end" });
      label.textContent = most * f >= 1000 ? `${(most * f / 1000).toFixed(1)}k/s` : `${(most * f).toFixed(most < 10 ? 1 : 0)}/s`;
      root.append(svg("line", { class: "axis", x1: left, x2: W, y1: y, y2: y }), label);
    });
    rates.forEach((r, i) => {
      const slot = slots - 1 - (bins[bins.length - 1].t - bins[i].t);
      let y = H - bottom;
      if (slot < 0) return;
      r.forEach((v, p) => {
        const h = (H - bottom - 8) * v / most;
        if (h > 0) root.append(svg("rect", { class: `p${p}`, x: left + slot * step + .6, width: Math.max(1, step - 1.2), y: (y -= h), height: h }));
      });
    });
    [["1 h ago", left, "start"], ["now", W, "end"]].forEach(([t, x, anchor]) => {
      const label = svg("text", { x, y: H - 4, "text-anchor": anchor });
      label.textContent = t; root.append(label);
    });
    byId("refreshed").replaceChildren(root);
  }

  /* ---- the figures ---- */
  function current(s) { return s.balances.find((b) => b.name === chosen) || s.balances[0]; }
  function drawChoice(s) {
    byId("balance-choice").hidden = s.balances.length < 2;
    const select = byId("balance"), names = s.balances.map((b) => b.name).join(" ");
    if (select.dataset.names === names) return;
    select.dataset.names = names;
    select.replaceChildren(...s.balances.map((b) => el("option", { value: b.name }, b.name)));
  }
  function drawChain(s, b) {
    const c = s.chain, behind = (n) => n === null || c.head === null ? "" : c.head - n;
    say("head", whole(c.head)); say("covered", whole(c.covered)); say("settled", whole(c.settled)); say("checkpoint", whole(b && b.checkpoint));
    say("head-note", c.head_time ? `mined ${ago(c.head_time, s.time)}` : "newest block known");
    say("covered-note", c.head === null ? "events answered up to here" : behind(c.covered) > 0 ? `${whole(behind(c.covered))} blocks behind the head` : "at the head");
    say("settled-note", c.head === null ? "the chain will not take it back" : `${whole(behind(c.settled))} blocks behind the head`);
    say("checkpoint-note", "durable; follows what is settled");
    say("about", `${s.version} · chain ${c.id === null ? "unknown" : c.id} · ${c.mode === "polling" ? "polling" : "subscribed"} · ${s.store.kind === "sqlite" ? "SQLite" : "PostgreSQL"}`);
  }
  function drawRows(s, b) {
    if (!b || b.rows === undefined) { facts("rows-facts", [["rows", "not counted yet"]]); return; }
    facts("rows-facts", [["rows", whole(b.rows)], ["oldest", duration(b.oldest_age_seconds)], ["half are younger than", duration(b.age_quantiles["0.5"])],
      ["not proven", whole(b.unproven), b.unproven ? "amber" : ""], ["in quarantine", whole(b.quarantined), b.quarantined ? "amber" : ""]]);
    agesChart(b, s.sweep.max_age_ms);
    say("rows-note", s.sweep.max_age_ms > 0 ? `Promised: no row older than ${duration(s.sweep.max_age_ms / 1000)}. Counted ${ago(b.as_of, s.time)}.` : `Counted ${ago(b.as_of, s.time)}.`);
  }
  function drawSweep(s, b) {
    const w = s.sweep, lap = b && b.lap, rows = (b && b.rows) || 0;
    const share = lap && rows ? Math.min(1, lap.rows / rows) : 0;
    byId("sweep-progress").value = share;
    say("sweep-lead", lap && lap.full_pass_seconds !== null ? `Every row once in ${duration(lap.full_pass_seconds)}` : "No rate known yet");
    say("sweep-note", lap && lap.started ? `Lap ${whole(lap.number)}: ${whole(Math.min(lap.rows, rows))} of ${whole(rows)} rows${lap.full_pass_seconds ? `, ${duration(lap.full_pass_seconds * (1 - share))} to go` : ""}` : "");
    facts("sweep-facts", [["rows a second", w.rows_per_second.toFixed(w.rows_per_second < 10 ? 1 : 0)], ["tick every", duration(w.interval_ms / 1000)],
      ["ticks done", whole(w.done)], ["dropped", whole(w.dropped), w.dropped ? "amber" : ""], ["failed", whole(w.failed), w.failed ? "amber" : ""],
      ["requests a pass", lap ? whole(lap.full_pass_requests) : "–"], ["units spent", whole(s.endpoints.reduce((n, e) => n + e.cost, 0))]]);
  }
  function drawDrift(s) {
    const d = s.drift;
    say("drift-lead", d.total ? `${whole(d.total)} rows` : "None so far");
    byId("drift-table").replaceChildren(...(d.causes.length ? [el("table", {}, el("tbody", {}, ...d.causes.map((c) => el("tr", {}, el("td", {}, c.cause), el("td", {}, c.balance), el("td", { class: "n" }, whole(c.rows))))))] : []));
  }
  function drawLegend(s) {
    byId("legend").replaceChildren(...PATHS.map((p, i) => [p, i]).filter(([p]) => s.refreshed[p] > 0 || p === "event" || p === "sweep")
      .map(([p, i]) => el("li", { class: `p${i}` }, `${p} ${whole(s.refreshed[p])}`)));
  }
  function drawEndpoints(s) {
    byId("endpoints").replaceChildren(...s.endpoints.map((e) => {
      const faults = Object.entries(e.faults).map(([k, n]) => `${k} ${whole(n)}`).join(", ");
      const state = e.up ? el("span", { class: "state green" }, "answers") : el("span", { class: "state red" }, e.paused_ms > 0 ? `paused ${duration(e.paused_ms / 1000)}` : "does not answer");
      return el("tr", {}, el("td", {}, e.name), el("td", {}, state, e.paused_why ? el("div", { class: "muted" }, e.paused_why) : null), el("td", {}, e.reader || "–"),
        el("td", { class: "n" }, e.answered_at ? `${e.latency_ms < 10 ? e.latency_ms.toFixed(1) : Math.round(e.latency_ms)} ms` : "–"), el("td", { class: "n" }, whole(e.requests)), el("td", {}, faults || "none"),
        el("td", { class: "n" }, `${bytes(e.bytes_in)} in, ${bytes(e.bytes_out)} out`));
    }));
  }
  function drawWorkers(s) {
    byId("workers").replaceChildren(...s.workers.map((w) => el("tr", {}, el("td", {}, w.name),
      el("td", {}, w.running ? el("span", { class: "state green" }, `runs for ${duration(since(w.since, s.time))}`) : el("span", { class: "state red" }, "is down")),
      el("td", { class: "n" }, whole(w.restarts)),
      el("td", {}, w.last_words ? w.last_words : w.died_of ? `ended with ${w.died_of}` : el("span", { class: "muted" }, "nothing to complain about"),
        w.last_words_at ? el("div", { class: "muted" }, `${duration(since(w.last_words_at, s.time))} ago${w.died_of ? `; ended with ${w.died_of}` : ""}`) : null))));
  }
  function draw(s) {
    const b = current(s);
    lastStatus = s;
    verdict(s.verdict.state, WORDS[s.verdict.state], s.verdict.text, s.verdict.reasons);
    document.title = `${s.verdict.state === "green" ? "✓" : s.verdict.state === "amber" ? "…" : "✗"} trueup`;
    drawChoice(s); drawChain(s, b); drawRows(s, b); drawSweep(s, b); drawDrift(s); drawLegend(s); drawEndpoints(s); drawWorkers(s);
    say("foot", `Figures of ${new Date(s.time).toLocaleTimeString()}. The same as JSON: /v1/status; for Prometheus: /metrics.`);
  }
  async function refresh() {
    const withHistory = round++ % HISTORY_EVERY === 0;
    try {
      const { data } = await ask(withHistory ? "/v1/status?history=1" : "/v1/status");
      draw(data);
      if (data.history) { history = data.history; refreshedChart(); }
    } catch (e) {
      verdict("red", "No answer", "The daemon cannot be reached; the figures below are old.", [{ text: e.name === "AbortError" ? "it did not answer in time" : e.message }]);
      round = 0;
    }
  }
  byId("balance").addEventListener("change", (e) => { chosen = e.target.value; if (lastStatus) draw(lastStatus); });
  addEventListener("resize", () => { if (lastStatus) { drawRows(lastStatus, current(lastStatus)); refreshedChart(); } });

  /* ---- changes as they happen: a stream read with fetch, since EventSource sends no token ---- */
  let feedRun = 0;
  function show(change) {
    const list = byId("feed"), d = difference(change);
    byId("feed-empty").hidden = true;
    const text = d === null ? amount(change.new) : `${d >= 0n ? "+" : ""}${amount(String(d))}`;
    const item = el("li", { class: "new" }, el("a", { href: `#${change.wallet}`, class: "mono", title: change.wallet }, short(change.wallet)),
      el("span", { class: `amount ${d === null ? "" : d >= 0n ? "up" : "down"}`, title: `${change.old === null ? "new" : change.old} → ${change.new}` }, text),
      el("span", { class: "sub" }, `${change.cause}, block ${whole(change.block)}`), el("span", { class: "sub" }, new Date(change.at).toLocaleTimeString()));
    item.querySelector("a").addEventListener("click", (e) => { e.preventDefault(); byId("wallet").value = change.wallet; lookUp(change.balance); byId("lookup-title").scrollIntoView({ block: "start" }); });
    list.prepend(item);
    while (list.children.length > FEED_MOST) list.lastChild.remove();
  }
  function take(block) {
    let data = "";
    for (const line of block.split("\n")) {
      if (line.startsWith("id: ")) feedLast = line.slice(4);
      if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (data) show(JSON.parse(data));
  }
  async function feed() {
    const mine = ++feedRun;
    while (mine === feedRun) {
      try {
        const headers = { ...(token ? { Authorization: `Bearer ${token}` } : {}), ...(feedLast ? { "Last-Event-ID": feedLast } : {}) };
        const reply = await fetch("/v1/changes?recent=20", { headers, cache: "no-store" });
        if (!reply.ok) throw new Error(`status ${reply.status}`);
        say("feed-state", "· live");
        const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let rest = ""; mine === feedRun;) {
          const { done, value } = await reader.read();
          if (done) break;
          const blocks = (rest + value).split("\n\n");
          rest = blocks.pop();
          blocks.forEach(take);
        }
      } catch { /* below */ }
      if (mine !== feedRun) return;
      say("feed-state", "· interrupted");
      await new Promise((r) => setTimeout(r, 2000));
    }
  }

  /* ---- one wallet ---- */
  async function lookUp(balance) {
    const box = byId("lookup-answer"), wallet = byId("wallet").value.trim();
    const name = balance || (lastStatus && current(lastStatus) ? current(lastStatus).name : "");
    try {
      const { status, data } = await ask(`/v1/balances/${encodeURIComponent(name)}/${encodeURIComponent(wallet)}?history=20`);
      const parts = [];
      if (status === 200) {
        parts.push(el("p", { class: "lead mono" }, whole2(data.balance)), list([["wallet", data.wallet], ["in balance", name], ["read at block", data.observed_block === null ? "not proven" : whole(data.observed_block)],
          ["last event at block", data.blocknumber === null ? "none" : whole(data.blocknumber)], ["read", data.updated_at ? new Date(data.updated_at).toLocaleString() : "–"]]));
      } else parts.push(el("p", {}, data.error || `status ${status}`));
      if (data.quarantine) parts.push(el("p", { class: "state amber" }, `In quarantine: ${data.quarantine.reason} (${whole(data.quarantine.failures)} times; next try ${new Date(data.quarantine.retry_at).toLocaleString()})`));
      if (data.history && data.history.length) parts.push(el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "History of this wallet" }, el("table", {}, el("thead", {}, el("tr", {}, ...["When", "Cause", "Block", "From", "To"].map((h) => el("th", { scope: "col" }, h)))),
        el("tbody", {}, ...data.history.map((c) => el("tr", {}, el("td", {}, new Date(c.at).toLocaleString()), el("td", {}, c.cause), el("td", {}, whole(c.block)),
          el("td", { class: "mono" }, c.old === null ? "new" : whole2(c.old)), el("td", { class: "mono" }, whole2(c.new))))))));
      box.replaceChildren(...parts);
    } catch (e) { box.replaceChildren(el("p", {}, `No answer: ${e.message}`)); }
  }
  const whole2 = (text) => text.replace(/\B(?=(\d{3})+(?!\d))/g, "\u2009");
  function list(pairs) { return el("dl", { class: "facts" }, ...pairs.map(([n, v]) => el("div", {}, el("dt", {}, n), el("dd", { class: "mono" }, v)))); }
  byId("lookup").addEventListener("submit", (e) => { e.preventDefault(); lookUp(); });

  refresh(); feed();
  setInterval(refresh, POLL_MS);
})();
