"""A database of a test's own, seen from the application's side: plain SQL, written with `?`."""

import sqlite3
from collections import namedtuple
from pathlib import Path

Row = namedtuple("Row", "wallet balance blocknumber observed_block updated_at created_at")
COLUMNS = ", ".join(Row._fields)


class Store:
    """What both databases answer alike. Subclasses give sql() and url."""

    def rows(self, table):
        """{wallet: Row}, the balance as an int whatever the database keeps it as."""
        found = self.sql(f"SELECT {COLUMNS} FROM {table}")
        rows = [Row(*r)._replace(balance=int(r[1])) for r in found]
        return {r.wallet: r for r in rows}

    def one(self, query, *values):
        found = self.sql(query, *values)
        return found[0][0] if found else None

    def checkpoint(self, name):
        if not self.has_table("eth_indexer_checkpoints"):
            return None
        return self.one("SELECT last_block FROM eth_indexer_checkpoints WHERE name = ?", name)

    def synced(self, balance):
        """The block up to which first looks were taken, as the daemon left it: the checkpoint follows
        the second look, this the head. 0 until it is known."""
        if not self.has_table("trueup_state"):
            return 0
        positions = self.one("SELECT value FROM trueup_state WHERE key = ?", "positions") or ""
        named = dict(word.split("=") for word in positions.split() if "=" in word)
        return int(named.get(balance, 0))

    def quarantined(self, balance):
        if not self.has_table("trueup_quarantine"):
            return set()
        return {r[0] for r in self.sql("SELECT wallet FROM trueup_quarantine WHERE balance = ?",
                                       balance)}

    def list_wallets(self, balance, wallets):
        """Straight into the list, for tests that do not test `trueup wallets`."""
        self.many("INSERT INTO trueup_wallets (balance, wallet) VALUES (?, ?)",
                  [(balance, w) for w in wallets])


class SqliteStore(Store):
    kind = "sqlite"

    def __init__(self, path):
        self.path = Path(path)
        self.url = f"sqlite:{self.path}"

    def connect(self):
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        return connection

    def sql(self, query, *values):
        connection = self.connect()
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def many(self, query, rows):
        connection = self.connect()
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(query, rows)
            connection.execute("COMMIT")
        finally:
            connection.close()

    def script(self, text):
        connection = self.connect()
        try:
            connection.executescript(text)
        finally:
            connection.close()

    def has_table(self, name):
        return self.path.exists() and bool(
            self.sql("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", name))

    def close(self):
        pass


class PostgresStore(Store):
    kind = "postgres"

    def __init__(self, url):
        # Here, since the demo has neither PostgreSQL nor its driver.
        import psycopg2

        self.driver = psycopg2
        self.url = url
        self.connection = psycopg2.connect(url)
        self.connection.autocommit = True

    def sql(self, query, *values):
        with self.connection.cursor() as cursor:
            cursor.execute(query.replace("?", "%s"), values or None)
            return cursor.fetchall() if cursor.description else []

    def many(self, query, rows):
        with self.driver.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.executemany(query.replace("?", "%s"), rows)
        connection.close()

    def script(self, text):
        self.sql(text)

    def has_table(self, name):
        return self.one("SELECT to_regclass(?) IS NOT NULL", name)

    def close(self):
        self.connection.close()
