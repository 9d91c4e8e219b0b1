"""The page in a real browser, against a live daemon: what it shows is what the API says and what the
chain does, it complains of nothing, asks nobody else, and can be read and used by everybody.

TRUEUP_PICTURES=FOLDER keeps what the page looked like at each width, light and dark."""

import json
import os
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import config as configs
from harness.browser import Browser
from harness.checks import until_at_rest
from harness.config import BALANCE, CHECKPOINT
from harness.daemon import Trueup
from harness.store import SqliteStore
from harness.web import listening
from harness.world import BURN, CALM, wallet

WALLETS = [wallet(i) for i in range(40)]
WIDTHS = (400, 900, 1400)
STATE = "document.getElementById('verdict').className.split(' ').pop()"

# Relative luminance and contrast as WCAG 2 has them, for every element with a text of its own.
CONTRASTS = """(() => {
  const parse = (c) => { const n = c.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const ground = (e) => { let stack = []; for (; e; e = e.parentElement) stack.push(parse(getComputedStyle(e).backgroundColor));
    return stack.reverse().reduce((below, c) => over(c, below), [255, 255, 255, 1]); };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    if (!own || box.width < 2 || box.height < 2 || style.visibility === 'hidden') continue;
    let alpha = 1; for (let a = e; a; a = a.parentElement) alpha *= Number(getComputedStyle(a).opacity);
    const below = ground(e), ink = parse(e instanceof SVGElement ? style.fill : style.color);
    const a = light(over([...ink.slice(0, 3), ink[3] * alpha], below)), b = light(below);
    found.push([(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.id || e.className.baseVal || e.className || e.tagName, e.textContent.slice(0, 30)]);
  }
  return found;
})()"""


@pytest.fixture(scope="module")
def scene(deployed, tmp_path_factory):
    """One daemon and one browser for all tests here; what a test does stays done."""
    folder = tmp_path_factory.mktemp("page")
    settings, client = listening()
    store, trueup = SqliteStore(folder / "trueup.db"), Trueup(folder)
    trueup.config = configs.write(folder / "trueup.yaml", configs.settings(
        deployed.world, deployed.anvil.url, store.url, http=settings, sweep={"max_age": "1h"},
        budget={"per_day": 1_000_000}))
    try:
        trueup.start()
        trueup.until(client.answers, "HTTP to answer")
        trueup.until(lambda: store.checkpoint(CHECKPOINT) is not None, "the first checkpoint")
        deployed.world.mint_all(WALLETS, random.Random(1))
        until_at_rest(trueup, store, deployed.anvil, wallets=WALLETS)
        with Browser(folder) as browser:
            browser.base = f"http://127.0.0.1:{client.port}/"
            yield SimpleNamespace(anvil=deployed.anvil, world=deployed.world, store=store,
                                  trueup=trueup, client=client, browser=browser)
    finally:
        trueup.reap()
        store.close()


@pytest.fixture
def browser(scene):
    b = scene.browser
    b.window(1400)
    b.open(b.base)
    b.until(f"{STATE} === 'green'", "the first figures, and green", 30)
    b.complaints.clear()
    yield b
    assert b.complaints == []
    assert [u for u in b.requests if not u.startswith(b.base)] == []


def number(text):
    return int(text.replace("\u2009", "").replace(",", ""))


def facts(browser, where):
    pairs = browser.run(f"[...document.querySelectorAll('#{where} > div')].map(d => "
                        "[d.firstChild.textContent, d.lastChild.textContent])")
    return dict(pairs)


def cells(browser, where):
    return browser.run(f"[...document.querySelectorAll('#{where} tbody tr')].map(r => "
                       "[...r.cells].map(c => c.innerText.trim()))")


def test_it_shows_what_the_api_says(scene, browser):
    scene.anvil.mine(4)  # the sweep reads at what is finalized, and that has news now
    client, head = scene.client, scene.anvil.rpc.number()
    browser.until(f"document.getElementById('synced').textContent === '{head}'", "the head")
    status, rows = client.status(), len(scene.store.rows(configs.TABLE))
    assert browser.text("#verdict-word") == "The table can be trusted"
    assert f"each of {rows} rows was read at an anchored block" in browser.text("#verdict-text")
    assert browser.text("#reasons") == "" and browser.run("document.title") == "✓ trueup"
    for name in ("head", "synced", "finalized"):
        assert number(browser.text(f"#{name}")) == status["chain"][name], name
    assert number(browser.text("#checkpoint")) == status["balances"][0]["checkpoint"]
    shown = facts(browser, "rows-facts")
    assert number(shown["rows"]) == rows and number(shown["not anchored"]) == 0
    title = browser.run("document.querySelector('#ages title').textContent")
    assert title.startswith(f"{rows} rows by age: ")
    assert browser.run("document.querySelectorAll('#ages path').length") > 0
    assert "no row older than 60 min" in browser.text("#rows-note")
    assert number(facts(browser, "sweep-facts")["ticks done"]) > 0
    browser.until("!document.getElementById('cost-facts').innerText.includes('–')", "the forecast", 30)
    cost = facts(browser, "cost-facts")
    assert number(cost["requests"]) == status["balances"][0]["lap"]["full_pass_requests"]
    assert list(cost) == ["requests", "units", "traffic", "time"]
    assert "of 1 000 000 units" in browser.text("#cost-lead").replace("\u2009", " ")
    (endpoint,), workers = cells(browser, "endpoints"), cells(browser, "workers")
    assert endpoint[:3] == ["local", "answers", "override"]
    assert number(endpoint[3]) == client.status()["endpoints"][0]["batch"]
    assert {w[0]: w[2] for w in workers} == {"follow": "0", "sweep": "0", "web": "0"}
    assert browser.text("#drift-lead") == "None so far"
    browser.until("document.querySelectorAll('#refreshed rect').length > 0", "the chart of rows read", 30)


def test_the_feed_moves_and_a_wallet_is_looked_up(scene, browser):
    browser.until("document.getElementById('feed-state').textContent.includes('live')", "the stream")
    before = browser.run("document.getElementById('feed').children.length")
    scene.world.token.send("mint", WALLETS[7], 123456)
    found = browser.until(
        f"[...document.querySelectorAll('#feed li')].map(l => l.innerText).find(t => t.includes('{WALLETS[7][:8]}') && t.includes('+123'))",
        "the mint to arrive")
    assert "+123\u2009456" in found and "event, block" in found
    assert browser.run("document.getElementById('feed').children.length") > before
    # By keyboard alone, from the top: the skip link comes first, and everything has a visible focus.
    browser.run("document.activeElement.blur(); scrollTo(0, 0)")
    passed = []
    for _ in range(40):
        browser.press("Tab")
        passed.append(browser.run("document.activeElement.id || document.activeElement.className"))
        outline = browser.run("(s => s.outlineStyle + s.outlineWidth)(getComputedStyle(document.activeElement))")
        assert outline.startswith("solid") or outline.startswith("auto"), (passed[-1], outline)
        if passed[-1] == "wallet":
            break
    assert passed[0] == "skip" and passed[-1] == "wallet", passed
    browser.type(WALLETS[7])
    browser.press("Enter", text="\r")
    browser.until("document.querySelector('#lookup-answer .lead')", "the answer")
    row = scene.client.get(f"/v1/balances/{BALANCE}/{WALLETS[7]}?history=20")[1]
    assert browser.text("#lookup-answer .lead").replace("\u2009", "") == row["balance"]
    history = cells(browser, "lookup-answer")
    assert len(history) == len(row["history"])
    assert history[0][4].replace("\u2009", "") == row["balance"] and history[-1][3] == "new"
    # What is no wallet is answered in words, and shown as text.
    browser.run("document.getElementById('wallet').value = '<img src=x onerror=alert(1)>'; "
                "document.getElementById('lookup').requestSubmit()")
    browser.until("document.getElementById('lookup-answer').innerText.includes('<img')", "the refusal")
    assert browser.run("document.querySelector('#lookup-answer img')") is None
    # 400 is what was asked for; the console says so.
    browser.complaints = [c for c in browser.complaints if "status of 400" not in c]


def test_the_colour_turns_with_the_node_and_back(scene, browser):
    scene.anvil.pause()
    try:
        browser.until(f"{STATE} === 'red'", "red", 30)
        assert browser.text("#verdict-word") == "The table cannot be trusted right now"
        assert browser.text("#reasons").startswith("no endpoint has answered for ")
        assert browser.run("document.title") == "✗ trueup"
        assert cells(browser, "endpoints")[0][1].startswith("does not answer")
    finally:
        scene.anvil.resume()
    browser.until(f"{STATE} === 'green'", "green again", 30)


def test_a_daemon_that_is_gone_is_told(scene, browser):
    trueup = scene.trueup
    trueup.stop()
    browser.until("document.getElementById('verdict-text').textContent.startsWith('The daemon cannot be reached')",
                  "the page to notice")
    assert browser.run(STATE) == "red"
    browser.complaints.clear()  # refused connections are this test's own doing
    trueup.process = None
    trueup.start()
    browser.until(f"{STATE} === 'green'", "green again", 30)
    browser.until("document.getElementById('feed-state').textContent.includes('live')", "the stream again")
    browser.complaints.clear()


def test_drift_and_quarantine_are_on_it(scene, browser):
    scene.world.mood(WALLETS[:2], BURN)
    scene.anvil.mine(4)
    scene.store.script("INSERT INTO trueup_drift (balance, wallet, stored, actual, block, cause, endpoint, age) "
                 f"VALUES ('{BALANCE}', '{WALLETS[1]}', '5', '7', 12, 'silent', 'local', 60)")
    browser.until("document.getElementById('drift-lead').textContent === '1 row'", "the drift", 30)
    record, = browser.until("(r => r.length && r)([...document.querySelectorAll('#drift-latest tbody tr')].map(r => [...r.cells].map(c => c.innerText)))",
                            "the record", 30)
    assert record[1:5] == ["5 → 7", "silent", "local", "12"]
    browser.until("document.getElementById('reasons').innerText.includes('2 wallets cannot be read')", "the reason", 40)
    assert browser.run(STATE) == "amber"
    scene.world.mood(WALLETS[:2], CALM)
    scene.world.mint_all(WALLETS[:2], random.Random(2))
    browser.until(f"{STATE} === 'green'", "the wallets to be read again", 40)


def test_it_reads_well_at_every_width_light_and_dark(browser):
    browser.run(f"document.getElementById('wallet').value = '{WALLETS[3]}'; document.getElementById('lookup').requestSubmit()")
    browser.until("document.querySelector('#lookup-answer tbody tr')", "the look-up")
    keep = os.environ.get("TRUEUP_PICTURES")
    for width in WIDTHS:
        for dark in (False, True):
            browser.window(width, dark=dark)
            browser.until(f"innerWidth === {width}", "the width")
            contrasts = browser.run(CONTRASTS)
            assert len(contrasts) > 80, "texts looked at"
            assert [c for c in contrasts if c[0] < 4.5] == [], (width, dark)
            assert browser.run("document.documentElement.scrollWidth") <= width, "nothing beyond the right edge"
            picture = browser.picture(Path(keep) / f"page-{width}-{'dark' if dark else 'light'}.png" if keep else None)
            assert len(picture) > 10_000
    # Every control and chart has a name.
    nameless = browser.run("[...document.querySelectorAll('button, input:not([hidden]), select, progress, table, svg[role=img], section')]"
                           ".filter(e => !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.getAttribute('aria-labelledby')"
                           " && !e.querySelector('title') && !e.closest('[role=region]') && !e.textContent.trim()).map(e => e.outerHTML.slice(0, 80))")
    assert nameless == []


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_with_a_token_it_asks_for_it(chain, store, trueup, tmp_path):
    settings, client = listening(token="s3cret-token")
    trueup.config = configs.write(tmp_path / "trueup.yaml", configs.settings(
        chain.world, chain.anvil.url, store.url, http=settings))
    trueup.start()
    trueup.until(client.answers, "HTTP to answer")
    with Browser(tmp_path) as browser:
        browser.window(900)
        browser.open(f"http://127.0.0.1:{client.port}/")
        browser.until("document.getElementById('ask-token').open", "the question")
        browser.until("document.activeElement.id === 'token'", "its focus")
        browser.type("s3cret-token")
        browser.press("Enter", text="\r")
        browser.until("document.getElementById('head').textContent !== '–'", "the figures", 20)
        assert json.dumps(browser.requests).count("s3cret") == 0, "it is in no address"
        assert all("status of 401" in c for c in browser.complaints), browser.complaints
