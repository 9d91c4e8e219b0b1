"""Asking the daemon over HTTP, as a stranger would: plain sockets and http.client."""

import http.client
import json
import socket
import threading
import time

from .node import free_port


class Http:
    def __init__(self, port, host="127.0.0.1", token=None, timeout=10):
        self.port, self.host, self.token, self.timeout = port, host, token, timeout

    def ask(self, path, method="GET", body=None, headers=None):
        """(status, headers, text)"""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        headers = dict(headers or {})
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            return (reply.status, {k.lower(): v for k, v in reply.getheaders()},
                    reply.read().decode())
        finally:
            connection.close()

    def get(self, path, **more):
        """(status, JSON)"""
        status, _, text = self.ask(path, **more)
        return status, json.loads(text)

    def post(self, path, value):
        return self.get(path, method="POST", body=json.dumps(value))

    def status(self):
        code, found = self.get("/v1/status")
        assert code == 200
        return found

    def metrics(self):
        """{'name{labels}': value}"""
        text = self.ask("/metrics")[2]
        rows = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in rows}

    def answers(self):
        """For until(), after the web process was started or replaced: only there may a connection be refused.
        What is asked afterwards has to be answered."""
        try:
            return self.ask("/livez")[0] == 200
        except (OSError, http.client.HTTPException):
            return False


class Stream:
    """Server-Sent Events, read by a thread of its own."""

    def __init__(self, port, path="/v1/changes", last=None, token=None):
        self.events = []
        self.notices = []  # (event, data): epoch, gap
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        lines = [f"GET {path} HTTP/1.1", "Host: x"]
        lines += [f"Last-Event-ID: {last}"] if last is not None else []
        lines += [f"Authorization: Bearer {token}"] if token else []
        self.connection.sendall("\r\n".join(lines + ["", ""]).encode())
        self.reader = self.connection.makefile("r", encoding="utf-8", newline="\n")
        self.head = []
        for line in self.reader:
            if not line.strip():
                break
            self.head.append(line.strip())
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        number = name = None
        try:
            for line in self.reader:
                if line.startswith("id: "):
                    number = int(line[4:])
                elif line.startswith("event: "):
                    name = line[7:].strip()
                elif line.startswith("data: ") and name == "change":
                    event = json.loads(line[6:])
                    assert event["id"] == number
                    self.events.append(event)
                elif line.startswith("data: "):
                    self.notices.append((name, json.loads(line[6:])))
        except (OSError, ValueError):
            pass

    def close(self):
        self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def listening(**more):
    """Changes for a test's configuration, and the client for it."""
    client = Http(free_port(), token=more.get("token"))
    return {"listen": f"127.0.0.1:{client.port}", **more}, client


def timed(call):
    started = time.monotonic()
    return call(), time.monotonic() - started
