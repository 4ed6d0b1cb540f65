"""A web server that plays an event endpoint, and waiting for what others do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


def await_true(condition: Callable[[], object], what: str, seconds: float = 30, every: float = 0.02) -> None:
    """Wait until `condition` holds, looking `every` so many seconds; fails, naming `what`, after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} within {seconds:g} s")
        time.sleep(every)


class Recorder:
    """Records what is delivered. `statuses` maps a function's name to the statuses of its next answers; then 200. The
    functions in `held` get their answers when they are taken out of it, or the recorder stops.
    """

    def __init__(self, port: int) -> None:
        self._lock = threading.Lock()
        self.handshakes: list[dict[str, str]] = []
        self.statuses: dict[str, list[int]] = {}
        self.held: set[str] = set()
        self._stopped = threading.Event()
        self._received: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_OPTIONS(self) -> None:
                query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
                self.send_response(200)
                allowed = recorder.allowed_origin(query, self.headers["WebHook-Request-Origin"])
                if allowed:
                    self.send_header("WebHook-Allowed-Origin", allowed)
                self.send_header("content-length", "0")
                self.end_headers()

            def do_POST(self) -> None:
                query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, answer = recorder.take(query, dict(self.headers.items()), body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)

    def allowed_origin(self, query: dict[str, str], origin: str) -> str | None:
        """The handshake of CloudEvents."""
        with self._lock:
            self.handshakes.append({**query, "origin": origin})
        return None if query.get("functionName", "").startswith("refuses") else origin

    def take(self, query: dict[str, str], headers: dict[str, str], body: Any) -> tuple[int, Any]:
        function = query.get("functionName", "")
        headers = {name.lower(): value for name, value in headers.items()}
        with self._lock:
            if headers["aeg-event-type"] == "SubscriptionValidation":
                self.handshakes.append(query)
                if function.startswith("refuses"):
                    return 200, {"validationResponse": "another code"}
                if function.startswith("missing"):
                    return 404, {}
                return 200, {"validationResponse": body[0]["data"]["validationCode"]}
            statuses = self.statuses.get(function, [])
            status = statuses.pop(0) if statuses else 200
            event = body[0] if isinstance(body, list) else body
            self._received.append((function, event, {**headers, "code": query.get("code", ""), "status": str(status)}))
        while function in self.held and not self._stopped.wait(0.02):
            pass
        return status, {}

    def events(self, function: str, subject: str = "") -> list[dict[str, Any]]:
        """The events that a function has accepted, in the order of arrival."""
        return [e for f, e, h in self.deliveries(function, subject) if h["status"] == "200"]

    def deliveries(self, function: str, subject: str = "") -> list[tuple[str, dict[str, Any], dict[str, str]]]:
        """All tries: function, event, headers (with the query's `code` and the answer's `status`)."""
        with self._lock:
            return [item for item in self._received if item[0] == function and subject in item[1]["subject"]]

    def __enter__(self) -> Recorder:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
