"""A receiver of webhooks: a real HTTPS server with a certificate of its own for `localhost` and 127.0.0.1."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from local.cloud.certificate import ensure_certificate
from local.config import StackConfig


@dataclass(frozen=True)
class Delivery:
    """What came: the headers' names in small letters."""

    path: str
    headers: Mapping[str, str]
    body: bytes


Answer = int | tuple[int, Mapping[str, str]] | Callable[[BaseHTTPRequestHandler], None]


class Receiver:
    """Answers 204, or once each what it is told to: a status, one with headers, or whatever a function does."""

    def __init__(self, folder: Path) -> None:
        config = StackConfig(state=folder, ports={}, identity_header="")
        ensure_certificate(config)
        self.certificate = config.certificate
        self.deliveries: list[Delivery] = []
        self.answers: list[Answer] = []
        self.connections = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.deliveries.append(Delivery(self.path, headers, body))
                answer = receiver.answers.pop(0) if receiver.answers else 204
                if callable(answer):
                    answer(self)
                    self.close_connection = True
                    return
                status, more = answer if isinstance(answer, tuple) else (answer, {})
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def get_request(self) -> tuple[socket.socket, Any]:
                receiver.connections += 1
                plain, address = super().get_request()
                return context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), address

            def handle_error(self, *_: object) -> None:
                """Clients that break off are what the tests are about."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(config.certificate, config.private_key)
        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def url(self, path: str = "/hook", host: str = "localhost") -> str:
        return f"https://{host}:{self.port}{path}"

    @property
    def ids(self) -> list[str]:
        """The ids of what came, in its order."""
        return [each.headers["webhook-id"] for each in self.deliveries]

    def forget(self) -> None:
        """Be as new."""
        self.deliveries.clear()
        self.answers.clear()
        self.connections = 0

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
