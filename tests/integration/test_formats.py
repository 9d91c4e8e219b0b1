"""docs/formats.md is what the program stores, prints and serves. The page's blocks and tables are
read and held to a store that `trueup migrate` made, to the sources, and to real output."""

import json
import re
import sqlite3

import pytest

from harness.config import TABLE
from harness.daemon import ROOT
from harness.web import Stream, listening
from harness.world import REVERT, WEI, wallet

PAGE = ROOT / "docs/formats.md"
SOURCES = {p: p.read_text() for p in sorted((ROOT / "src").rglob("*.[ch]"))}

on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


# ---- the page -----------------------------------------------------------------------------------


class Section:
    def __init__(self, title, planned):
        self.title, self.planned = title, planned
        self.blocks = []  # (what stands behind the fence, text)
        self.tables = []  # lists of rows, the header first

    def block(self, kind):
        return [text for info, text in self.blocks if info == kind]

    def table(self, head):
        return next((t[1:] for t in self.tables if t[0][0] == head), None)


def read_page(text):
    """Sections by title; one below a planned one is planned, too."""
    found, planned_below, block, table = [], None, None, None
    for line in text.splitlines():
        if block is not None:
            if line == "```":
                found[-1].blocks.append((block[0], "\n".join(block[1])))
                block = None
            else:
                block[1].append(line)
        elif line.startswith("```"):
            block = (line[3:], [])
        elif heading := re.match(r"(#+) (.+?)( \(planned\))?$", line):
            level = len(heading[1])
            if planned_below is None or level <= planned_below:
                planned_below = level if heading[3] else None
            found.append(Section(heading[2], planned_below is not None))
        elif line.startswith("|"):
            cells = [c.strip() for c in line.strip("|").split("|")]
            if table is None:
                table = []
                found[-1].tables.append(table)
            if set(line) - set("|- "):
                table.append(cells)
            continue
        table = None
    return found


EVERY = read_page(PAGE.read_text())
SECTIONS = {s.title: s for s in EVERY if not s.planned}


def ticked(cell):
    return re.findall(r"`([^`]+)`", cell)


def first_cells(section, head):
    return [word for row in SECTIONS[section].table(head) for word in ticked(row[0])]


# ---- tables -------------------------------------------------------------------------------------


def created(sections, dialect):
    return {name: s for s in sections for text in s.block(f"sql {dialect}")
            for name in re.findall(r"CREATE TABLE (\w+)", text)}


def sqlite_catalogue(connection):
    """{(type, name): SQL}, without what says nothing: white space and quotes."""
    def plain(sql):
        return re.sub(r"\s*([(),])\s*", r"\1", re.sub(r"\s+", " ", sql.replace('"', "")))
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND "
                              "name NOT LIKE 'sqlite\\_%' ESCAPE '\\'").fetchall()
    return {row[:2]: plain(row[2]) for row in rows}


def postgres_catalogue(store, schema):
    columns = store.sql("SELECT table_name, column_name, data_type, is_nullable, column_default FROM "
                        "information_schema.columns WHERE table_schema = ? ORDER BY 1, "
                        "ordinal_position", schema)
    indexes = store.sql("SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = ? "
                        "ORDER BY 2", schema)
    return [tuple(re.sub(rf"\b{schema}\.", "", cell) if cell else cell for cell in row)
            for row in columns + indexes]


def columns_of(store, table):
    query = ("SELECT name FROM pragma_table_info(?) ORDER BY cid" if store.kind == "sqlite" else
             "SELECT column_name::text FROM information_schema.columns WHERE table_name = ? AND "
             "table_schema = 'public' ORDER BY ordinal_position")
    return [row[0] for row in store.sql(query, table)]


@pytest.fixture
def migrated(store, trueup, tmp_path):
    trueup.config = tmp_path / "trueup.yaml"
    trueup.config.write_text(f"""
store: '{store.url}'
chain: {{endpoints: [{{url: 'http://127.0.0.1:1'}}]}}
balances:
  - name: audio
    terms: [{{name: held, contract: '0x18aAA7115705e8be94bfFEBDE57Af9BFc265B998', view: balanceOf(address)}}]
""")
    trueup.run("migrate")
    return trueup


def test_tables_are_those_of_the_page(migrated, store):
    dialect = "sqlite" if store.kind == "sqlite" else "postgresql"
    written = created(SECTIONS.values(), dialect)
    ddl = "\n".join(text for s in SECTIONS.values() for text in s.block(f"sql {dialect}"))
    if store.kind == "sqlite":
        page = sqlite3.connect(":memory:")
        page.executescript(ddl)
        assert sqlite_catalogue(store.connect()) == sqlite_catalogue(page)
    else:
        store.script(f"CREATE SCHEMA page; SET search_path = page; {ddl}; SET search_path = public")
        assert postgres_catalogue(store, "public") == postgres_catalogue(store, "page")
    for table, section in written.items():
        assert columns_of(store, table) == first_cells(section.title, "column"), table
    planned = created((s for s in EVERY if s.planned), dialect)
    assert [t for t in planned if store.has_table(t)] == []
    version = store.one("SELECT value FROM trueup_state WHERE key = ?", "schema")
    assert f"key `schema`: {version}" in SECTIONS["Versions"].tables[0][1][1]
    assert [row[0] for row in SECTIONS["Versions"].table("version")] == [
        str(v) for v in range(1, int(version) + 1)]


def test_reset_chain_does_with_state_keys_what_the_page_says(migrated, store):
    rows = {re.sub("[A-Z]+", "audio", ticked(r[0])[0]): r for r in SECTIONS["State keys"].table("key")}
    store.sql("DELETE FROM trueup_state WHERE key <> 'schema'")
    for key in rows.keys() - {"schema"}:
        store.sql("INSERT INTO trueup_state (key, value) VALUES (?, ?)", key, "")
    migrated.run("migrate", "--reset-chain")
    left = {k for k, in store.sql("SELECT key FROM trueup_state")}
    assert left == {k for k, row in rows.items() if row[3] == "kept"}


# ---- what the sources say -----------------------------------------------------------------------


KEY_PATTERNS = (
    # The second argument of a verb of trueup_state, or of a helper that makes a balance's key of it.
    r'\b(?:\w*state_(?:get|set|text|put|key)|\w*fingerprint|block_get|block_set|key_of|same_as_stored)'
    r'\(\s*[\w&>.-]+,\s*"([a-z][a-z._]*)"',
    r'\bkey_of\("([a-z][a-z._]*)"',
    r'\w*_key\[\] = "([a-z][a-z._]*)"',
    r'"([a-z_]+):%(?:\.\d+)?s"',
    r'define BUDGET_KEY +"([a-z.]+)\."',
)


def keys_in_sources():
    found = set()
    for path, text in SOURCES.items():
        if path.relative_to(ROOT / "src").parts[0] in ("store", "track", "worker", "web", "rpc"):
            for pattern in KEY_PATTERNS:
                found |= set(re.findall(pattern, text))
    return found


def stem(key):
    """What of a key is fixed: all before its first part in capitals."""
    return re.split(r"[.:](?=[A-Z])", key)[0]


def test_state_keys_are_those_of_the_sources():
    assert {stem(k) for k in first_cells("State keys", "key")} == keys_in_sources()


def test_routes_are_those_of_the_source():
    source = SOURCES[ROOT / "src/web/routes.c"]
    routes = {r for r in re.findall(r'\{"(/[^"]*)", (?:true|false)', source)}
    health = {r for r in re.findall(r'\{"(/[^"]*)", true', source)}
    rows = SECTIONS["Routes"].table("route")
    written = {ticked(r[0])[0]: r[1] for r in rows}
    assert routes == {w.split()[1] for w in written if "/v1/balances" not in w} - {"/"}
    assert health == {w.split()[1] for w, access in written.items() if access == "health"}
    files = {"/" if p.name == "index.html" else f"/{p.name}"
             for p in (ROOT / "src/web/page").iterdir() if p.suffix != ".py"}
    assert files == {"/", *re.findall(r"`(/[\w.]+)`", rows[-1][3])}


def test_environment_names_are_those_of_the_sources():
    text = "\n".join(SOURCES.values())
    read = set(re.findall(r'(?:getenv|from_environment|overlay_variable)\([^;)"]*"(\w+)"', text))
    written = set(first_cells("Environment", "name"))
    assert read <= written
    assert {n for n in written if n.startswith("TRUEUP_") and "…" not in n} <= read
    passed = re.search(r"may_pass\(.*?names\[\] = \{(.*?)\}", text, re.DOTALL)[1]
    listed = re.search(r"^`PATH`.*$", PAGE.read_text(), re.MULTILINE)[0]
    assert {n.rstrip("=") for n in re.findall(r'"([^"]+)"', passed)} | {"TRUEUP_SETTINGS_FD"} == set(
        ticked(listed))


# ---- JSON ---------------------------------------------------------------------------------------


WORDS = {row[0]: set(ticked(row[2])) for row in SECTIONS["Words"].table("words")}
TIME = r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?Z| \d\d:\d\d:\d\d)"


def is_count(v):
    return isinstance(v, int) and not isinstance(v, bool)


def spelled(pattern):
    return lambda v: isinstance(v, str) and bool(re.fullmatch(pattern, v))


KINDS = {
    "count": is_count,
    "block": is_count,
    "number": lambda v: is_count(v) or isinstance(v, float),
    "bool": lambda v: isinstance(v, bool),
    "text": lambda v: isinstance(v, str),
    "balance": spelled("[0-9]+"),
    "wallet": spelled("0x[0-9a-f]{40}"),
    "hash": spelled("0x[0-9a-f]{64}"),
    "time": spelled(TIME),
    "object": lambda v: isinstance(v, dict),
    "list": lambda v: isinstance(v, list),
    "null": lambda v: v is None,
    **{word: values.__contains__ for word, values in WORDS.items()},
}


class Key:
    """A key of the page's tables: what it may hold, and the keys below it."""

    def __init__(self):
        self.optional, self.kinds, self.below = False, None, {}

    def at(self, part):
        return self.below.setdefault(part, Key())


def schema_of(section):
    """The tree of a section's table of keys; None if it has none."""
    rows = section.table("key")
    if rows is None:
        return None
    root = Key()
    for row in rows:
        keys, kinds = ticked(row[0]), row[1].split(", ")
        kinds = kinds if len(kinds) == len(keys) else [row[1]] * len(keys)
        for key, kind in zip(keys, kinds):
            at = root
            for part in re.findall(r"\[\]|[^.\[\]?]+(?:\.\d+)?", key):
                at = at.at(part)
            at.optional = key.endswith("?")
            at.kinds = kind.split(" or ")
            assert not set(at.kinds) - set(KINDS), f"{section.title}: {key}: {kind}"
    return root


def differences(value, key, path=""):
    """What of a value is not as the tree says."""
    if value is None or not isinstance(value, (dict, list)) or (key.kinds and not key.below):
        if key.kinds is None or not any(KINDS[k](value) for k in key.kinds):
            yield f"{path}: {value!r} is not {key.kinds}"
    elif isinstance(value, list):
        for item in value:
            if "[]" not in key.below:
                yield f"{path}[] is not written down"
                return
            yield from differences(item, key.below["[]"], path + "[]")
    else:
        for name, below in key.below.items():
            if name != "*" and not below.optional and name not in value:
                yield f"{path}.{name} is missing"
        for name, item in value.items():
            below = key.below.get(name) or key.below.get("*")
            if below is None:
                yield f"{path}.{name} is not written down"
            else:
                yield from differences(item, below, f"{path}.{name}")


def assert_as_written(title, values):
    schema = schema_of(SECTIONS[title])
    found = sorted({d for value in values for d in differences(value, schema)})
    assert values and not found, f"{title}: {found}"


def test_words_of_the_page_are_spelled_in_the_sources():
    text = "\n".join(SOURCES.values())
    assert [w for words in WORDS.values() for w in sorted(words) if f'"{w}"' not in text] == []


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_examples_of_the_page_are_as_it_says():
    checked = 0
    for section in SECTIONS.values():
        for text in section.block("json"):
            values = lines(text)
            schema = schema_of(section)
            if schema:
                assert [d for v in values for d in differences(v, schema)] == [], section.title
                checked += 1
    assert checked > 10


WALLETS = [wallet(i) for i in range(8)]


@pytest.fixture
def lived(chain, store, trueup, configured):
    """A daemon after events, drift and a wallet that cannot be read; .client asks it."""
    http, trueup.client = listening()
    trueup.config = configured(http=http, budget={"per_day": 1000000}, sweep={"interval": "300ms"},
                               chain={"endpoints": [{"name": "local", "url": chain.anvil.url,
                                                     "ws": chain.anvil.ws}]})
    chain.world.token.send("mintMany", WALLETS, [WEI] * len(WALLETS))
    trueup.backfilled = trueup.run("backfill", "-y", "--once", "--json").stdout
    trueup.start()
    trueup.until(trueup.client.answers, "an answer over HTTP")
    trueup.until(lambda: len(store.rows("eth_wallet_balances")) >= len(WALLETS), "the rows")
    chain.world.mood([WALLETS[1]], REVERT)
    chain.world.token.send("silentSetMany", [WALLETS[0]], [5 * WEI])
    chain.anvil.mine(3)
    trueup.until(lambda: store.quarantined("audio"), "a wallet in quarantine")
    trueup.until(lambda: store.sql("SELECT 1 FROM trueup_drift"), "drift")
    return trueup


@on_sqlite
def test_json_is_as_the_page_says(lived, chain, store, tmp_path):
    client, balance = lived.client, "/v1/balances/audio"
    stream = Stream(client.port, "/v1/changes?recent=3")
    lived.until(lambda: client.status()["balances"][0].get("rows"), "figures over all rows")
    at = chain.rpc.number() - 3
    command = {
        "read --json": ["read", "--terms", *WALLETS[:2]],
        "sweep --json": ["sweep"],
        "audit --json": ["audit", "--all"],
        "explain --json": ["explain", *WALLETS[:2], "0x" + "11" * 20],
        "wallets import --json": ["wallets", "import", "-"],
        "wallets count --json": ["wallets", "count"],
        "wallets list --json": ["wallets", "list"],
        "doctor --json": ["doctor"],
        "Snapshot files": ["snapshot", "--at", at, "--out", "-"],
        "GET /v1/status": ["status"],
    }
    for title, words in command.items():
        said = lived.run(*words, "--json", code=None, input=f"{WALLETS[2]}\n").stdout
        assert_as_written(title, lines(said))
    assert_as_written("backfill --json", lines(lived.backfilled))
    proven = lines(lived.run("read", "--prove", "--at", at, "--json", *WALLETS[:2], code=None).stdout)
    assert_as_written("read --json", proven[:-1])
    assert_as_written("The last line of read --prove --json", proven[-1:])
    for title, path in {
        "GET /eth/health": "/eth/health",
        "GET /v1/status": "/v1/status?history=1",
        "GET /v1/balances/NAME": balance,
        "GET /v1/balances/NAME/WALLET": f"{balance}/{WALLETS[1]}?history=2",
        "GET /v1/drift": "/v1/drift",
        "Errors": "/v1/drift?limit=0",
    }.items():
        assert_as_written(title, [client.get(path)[1]])
    assert_as_written("POST /v1/balances/NAME", [client.post(
        balance, {"wallets": [WALLETS[0], "0x" + "11" * 20]})[1]])
    lived.until(lambda: stream.events, "changes")
    assert_as_written("GET /v1/changes", stream.events)
    keys = {k for k, in store.sql("SELECT key FROM trueup_state")}
    patterns = [re.sub("[A-Z]+", ".+", k) for k in first_cells("State keys", "key")]
    assert [k for k in keys if not any(re.fullmatch(p, k) for p in patterns)] == []
    lived.stop()
    assert_as_written("GET /v1/status", lines(lived.run("status", "--json", code=4).stdout))


# ---- exit statuses ------------------------------------------------------------------------------


@on_sqlite
def test_exit_statuses_are_those_of_the_page(chain, store, trueup, configured):
    trueup.config = configured()
    chain.world.token.send("mintMany", WALLETS, [WEI] * len(WALLETS))
    chain.anvil.mine(3)
    trueup.run("backfill", "-y", "--once")
    chain.world.token.send("silentSetMany", [WALLETS[0]], [5 * WEI])
    chain.anvil.mine(3)
    trueup.run("worker", "follow", "--once")
    chain.world.mood([WALLETS[1]], REVERT)
    reached = {
        0: ["version"],
        1: ["read", WALLETS[1]],
        2: ["read"],
        3: ["audit", "--all"],
        4: ["read", WALLETS[0]],  # of another chain, below
        5: ["wallets", "count", "--store", "sqlite:/nonexistent/trueup.db"],
        6: ["audit", "--all"],  # the drift is repaired, and a row loses its anchor
    }
    written = {int(row[0]) for row in SECTIONS["Exit statuses"].table("status")}
    memory = re.search(r"MEM_EXIT_STATUS = (\d+)", SOURCES[ROOT / "src/base/mem.h"])[1]
    assert written == {*reached, int(memory)}
    for status, words in reached.items():
        if status == 6:
            trueup.run("audit", "--all", "--fix", code=3)
            store.sql(f"UPDATE {TABLE} SET observed_block = NULL WHERE wallet = ?", WALLETS[2])
        trueup.env["TRUEUP_CHAIN_ID"] = "1" if status == 4 else str(chain.anvil.chain_id)
        trueup.run(*words, code=status)
    help_text = trueup.run("help").stdout
    assert {int(n) for n in re.findall(r"\b([0-9]) [a-z]", help_text.partition("exit status:")[2])} <= written
