"""A proxy in front of the blob service whose answers fail in ways that a client's transport can't imitate."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

DROPPED = frozenset({"connection", "transfer-encoding", "keep-alive"})


class UnsteadyProxy:
    """What happens to the next requests for a blob, by its name: `cut` sends half of the body and closes, `stall` sends
    half and waits, `503` answers that.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream)
        self.planned: dict[str, list[str]] = {}
        self.requests: list[str] = []
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.url = ""

    def next_for(self, path: str) -> str:
        name = urlsplit(path).path.rsplit("/", 1)[-1]
        with self.lock:
            self.requests.append(name)
            plan = self.planned.get(name)
            return plan.pop(0) if plan else ""


@contextlib.contextmanager
def unsteady_proxy(upstream: str) -> Iterator[UnsteadyProxy]:
    """A running proxy of the service at a URL `http://host:port/account`."""
    proxy = UnsteadyProxy(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            plan = proxy.next_for(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if plan == "503":
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            upstream = http.client.HTTPConnection(proxy.upstream.netloc, timeout=30)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in DROPPED}
            upstream.request(self.command, self.path, body or None, headers)
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in DROPPED | {"content-length"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(content)))
            self.end_headers()
            if plan:
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                self.close_connection = True
                if plan == "stall":
                    proxy.over.wait(30)
            elif self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = _forward  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_port}{proxy.upstream.path}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield proxy
    finally:
        proxy.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
