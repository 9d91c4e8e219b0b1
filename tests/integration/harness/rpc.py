"""JSON-RPC over one kept-alive HTTP connection: the plainest client that can do batches."""

import http.client
import json
import threading
from urllib.parse import urlsplit


class RpcError(Exception):
    def __init__(self, method, error):
        super().__init__(f"{method}: {error}")
        self.code = error.get("code") if isinstance(error, dict) else None
        self.message = error.get("message", "") if isinstance(error, dict) else str(error)
        self.data = error.get("data") if isinstance(error, dict) else None


class Rpc:
    def __init__(self, url, timeout=60):
        self.url = url
        self.timeout = timeout
        self.local = threading.local()  # http.client connections are not for sharing

    def _post(self, payload):
        body = json.dumps(payload)
        for attempt in (1, 2):
            connection = getattr(self.local, "connection", None)
            if connection is None:
                where = urlsplit(self.url)
                connection = http.client.HTTPConnection(where.hostname, where.port,
                                                        timeout=self.timeout)
                self.local.connection = connection
            try:
                connection.request("POST", urlsplit(self.url).path or "/", body,
                                   {"content-type": "application/json"})
                return json.loads(connection.getresponse().read())
            except (http.client.HTTPException, ConnectionError):
                # A kept-alive connection may have gone stale; a fresh one may not.
                connection.close()
                self.local.connection = None
                if attempt == 2:
                    raise

    def call(self, method, *params):
        reply = self._post({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        if "error" in reply:
            raise RpcError(method, reply["error"])
        return reply["result"]

    def batch(self, calls, size=500):
        """[(method, params)] -> [result or RpcError], in the order asked."""
        results = []
        for start in range(0, len(calls), size):
            part = calls[start:start + size]
            reply = self._post([{"jsonrpc": "2.0", "id": i, "method": m, "params": p}
                                for i, (m, p) in enumerate(part)])
            if isinstance(reply, dict):
                raise RpcError("batch", reply.get("error", reply))
            by_id = {r["id"]: r for r in reply}
            for i, (method, _) in enumerate(part):
                r = by_id[i]
                results.append(RpcError(method, r["error"]) if "error" in r else r["result"])
        return results

    def number(self):
        return int(self.call("eth_blockNumber"), 16)

    def block(self, which="latest"):
        if isinstance(which, int):
            which = hex(which)
        method = "eth_getBlockByHash" if len(which) == 66 else "eth_getBlockByNumber"
        return self.call(method, which, False)
