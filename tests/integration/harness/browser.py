"""A real browser, headless, driven over a pipe of its own (the DevTools protocol): no driver, no port,
no profile that outlives it. All it asks of the network and all it complains about is kept."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

from .wait import SLOWNESS

OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--disable-extensions", "--disable-default-apps", "--mute-audio",
    "--no-default-browser-check", "--hide-scrollbars", "--force-color-profile=srgb",
    # Nothing but this machine can be reached, whatever asks for it.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
]
WAIT = 20 * SLOWNESS


def binary():
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        raise FileNotFoundError("no chromium: scripts/test installs it")
    return found


class Browser:
    """One page. .requests: URLs asked for; .complaints: what its console would show in red."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.requests, self.complaints = [], []
        self.last, self.unread, self.session = 0, b"", None

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._start()
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.call("Target.attachToTarget", targetId=target,
                                     flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
            undo.pop_all()
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self):
        # It reads commands from fd 3 and writes to fd 4; ours are kept clear of both.
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (*os.pipe(), *os.pipe())]
        its_in, self.to, self.source, its_out = ends
        log = open(self.folder / "browser.log", "ab")

        def place():
            os.dup2(its_in, 3)
            os.dup2(its_out, 4)

        self.process = subprocess.Popen(
            [binary(), *OPTIONS, f"--user-data-dir={self.folder / 'profile'}"], stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, pass_fds=(3, 4), preexec_fn=place, start_new_session=True,
            env={**os.environ, "HOME": str(self.folder)})
        os.close(its_in)
        os.close(its_out)

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)  # a session of our own, helpers and all
        self.process.wait()
        os.close(self.to)
        os.close(self.source)

    # ---- the protocol ---------------------------------------------------------------------------

    def call(self, method, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + WAIT
        while True:
            found = self._take(deadline, method)
            if found.get("id") == self.last:
                assert "error" not in found, f"{method}: {found['error']}"
                return found["result"]
            self._note(found)

    def _take(self, deadline, method):
        while b"\0" not in self.unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.source], [], [], left)[0]:
                raise AssertionError(f"the browser did not answer {method} in time")
            part = os.read(self.source, 1 << 20)
            assert part, f"the browser ended: {(self.folder / 'browser.log').read_text()[-1000:]}"
            self.unread += part
        one, self.unread = self.unread.split(b"\0", 1)
        return json.loads(one)

    def _note(self, event):
        method, params = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"].get("text", "") + " " + str(
                params["exceptionDetails"].get("exception", {}).get("description", "")))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(str([a.get("value") for a in params["args"]]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    # ---- what a person does ---------------------------------------------------------------------

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'", "the page to load")

    def window(self, width, height=1000, dark=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"}])

    def run(self, script):
        """The value of a JavaScript expression; promises are waited for."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def text(self, selector):
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText.trim()")

    def until(self, script, what, seconds=10):
        deadline = time.monotonic() + seconds * SLOWNESS
        while True:
            found = self.run(f"(found => found instanceof Node || found)({script})")
            if found:
                return found
            assert time.monotonic() < deadline, f"waited {seconds * SLOWNESS:.0f} s for {what}"
            time.sleep(0.05)

    def press(self, key, code=None, text=None):
        more = {"text": text} if text else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=code or key,
                  windowsVirtualKeyCode={"Tab": 9, "Enter": 13, " ": 32}.get(key, 0), **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=code or key)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def picture(self, path=None):
        """A PNG of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        data = base64.b64decode(self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True,
            clip={"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1})["data"])
        if path:
            Path(path).write_bytes(data)
        return data
