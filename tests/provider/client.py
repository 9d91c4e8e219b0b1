"""The provider from Python tests: starts it as a child, steers it, reads its log.

    with ScriptedProvider(forward=anvil.url) as p:
        p.rules({"fault": "rate-429", "method": "eth_call", "times": 2, "args": {"after": 1}})
        … p.url …
        assert [r["method"] for r in p.log()] == [...]
"""

import json
import pathlib
import subprocess
import urllib.request

HERE = pathlib.Path(__file__).parent


class ScriptedProvider:
    def __init__(self, forward=None, seed=0, path="/v2/KEYKEYKEYKEY", port=0):
        self.words = ["/usr/bin/python3", str(HERE / "provider.py"), "--seed", str(seed)]
        if forward:
            self.words += ["--forward", forward]
        self.path = path
        self.start(port)

    def start(self, port=0):
        self.process = subprocess.Popen([*self.words, "--port", str(port)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().split()
        if line[:1] != ["listening"]:
            raise RuntimeError(f"the provider did not start: {line}")
        self.port = int(line[1])
        self.tls_port = int(line[2])
        self.base = f"http://127.0.0.1:{self.port}"
        self.url = self.base + self.path

    def kill(self):
        """-9; restart() comes back at the same port, with no rules and an empty log."""
        self.process.kill()
        self.process.wait()

    def restart(self):
        self.start(self.port)

    def order(self, **order):
        """One control order, as in README.md; returns the provider's state."""
        request = urllib.request.Request(self.base + "/_control", json.dumps(order).encode())
        with urllib.request.urlopen(request, timeout=60) as got:
            return json.load(got)

    def rules(self, *rows):
        return self.order(rules=list(rows))

    def reset(self):
        return self.order(reset=True)

    def log(self):
        with urllib.request.urlopen(self.base + "/_log", timeout=60) as got:
            return [json.loads(line) for line in got.read().decode().splitlines()]

    def events(self):
        """Which logs the answers showed, and which they left out (witness.py)."""
        with urllib.request.urlopen(self.base + "/_events", timeout=60) as got:
            return json.load(got)

    def close(self):
        if self.process.stdin.closed:
            return
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
