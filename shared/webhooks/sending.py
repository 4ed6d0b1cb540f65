"""One delivery: a POST to addresses that were judged, which knows no proxy and follows no redirect, within a time."""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import functools
import http.client
import os
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from shared.errors import LabelLoopError
from shared.webhooks.addresses import Place

# For all of it: name, connection, TLS, request, answer.
SECONDS = 10.0
MAX_ANSWER_BYTES = 4096


class NoAnswerError(LabelLoopError):
    """A receiver gave no answer that can be understood; the message says why, without the URL."""


@dataclass(frozen=True)
class Answer:
    """What a receiver answered. `retry_after` (s) is None where it did not say."""

    status: int
    retry_after: int | None

    @property
    def is_taken(self) -> bool:
        return 200 <= self.status < 300

    @property
    def words(self) -> str:
        """What it means."""
        try:
            phrase = f" {HTTPStatus(self.status).phrase}"
        except ValueError:
            phrase = ""
        redirect = "; redirects are not followed" if 300 <= self.status < 400 else ""
        return f"the receiver answered {self.status}{phrase}{redirect}"


def post(place: Place, addresses: Sequence[str], headers: Mapping[str, str], body: bytes, deadline: float) -> Answer:
    """Send a body to one of the addresses. The certificate must be the place's, whatever the address; `deadline` by
    time.monotonic().

    Raises NoAnswerError.
    """
    connection = _Connection(place, addresses, deadline)
    try:
        connection.request("POST", place.path, body, dict(headers))
        response = connection.getresponse()
        # The status decides. A short answer is read so that the receiver can end in peace; what it says is not kept.
        with contextlib.suppress(OSError, http.client.HTTPException):
            response.read(MAX_ANSWER_BYTES)
        return Answer(response.status, _seconds(response.headers.get("retry-after")))
    except TimeoutError:
        raise NoAnswerError(f"the receiver gave no answer within {SECONDS:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise NoAnswerError(f"the receiver's certificate is not good: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise NoAnswerError(f"no TLS with the receiver: {error.reason or type(error).__name__}") from None
    except OSError as error:
        raise NoAnswerError(f"no connection to the receiver: {error.strerror or type(error).__name__}") from None
    except http.client.HTTPException as error:
        # Its words may have the URL's path in them.
        raise NoAnswerError(f"the receiver's answer is no HTTP: {type(error).__name__}") from None
    finally:
        connection.close()


class _TimedSocket(ssl.SSLSocket):
    """A socket whose operations all end by one deadline. A timeout alone would begin anew with each byte."""

    deadline: float

    def do_handshake(self, block: bool = False) -> None:
        self._hurry()
        super().do_handshake(block)

    def send(self, data: Any, flags: int = 0) -> int:
        self._hurry()
        return super().send(data, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        self._hurry()
        return super().recv_into(buffer, nbytes, flags)

    def _hurry(self) -> None:
        self.settimeout(_left(self.deadline))


class _Connection(http.client.HTTPSConnection):
    """A connection to one of some addresses, in the name of the host."""

    def __init__(self, place: Place, addresses: Sequence[str], deadline: float) -> None:
        self._tls = _tls(os.environ.get("REQUESTS_CA_BUNDLE", ""), os.environ.get("SSL_CERT_FILE", ""))
        super().__init__(place.host, place.port, context=self._tls)
        self._addresses = addresses
        self._deadline = deadline

    def connect(self) -> None:
        plain = self._connected()
        try:
            timed = self._tls.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False)
        except BaseException:
            plain.close()
            raise
        self.sock = timed
        assert isinstance(timed, _TimedSocket)  # noqa: S101 # the context makes no others
        timed.deadline = self._deadline
        timed.do_handshake()

    def _connected(self) -> socket.socket:
        """To the first address that answers; none may take the time of those after it."""
        failed: OSError = TimeoutError()
        for index, address in enumerate(self._addresses):
            share = _left(self._deadline) / (len(self._addresses) - index)
            try:
                return socket.create_connection((address, self.port), timeout=share)
            except OSError as error:
                failed = error
        raise failed


@functools.lru_cache(maxsize=4)
def _tls(bundle: str, _certificates: str) -> ssl.SSLContext:
    """Trusts REQUESTS_CA_BUNDLE, where it is set, and nothing else, as requests and the SDKs do; else what the system
    (or SSL_CERT_FILE, which OpenSSL reads itself) and certifi hold.
    """
    if bundle:
        is_folder = Path(bundle).is_dir()
        context = ssl.create_default_context(cafile=None if is_folder else bundle, capath=bundle if is_folder else None)
    else:
        import certifi

        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = _TimedSocket
    return context


def _left(deadline: float) -> float:
    """How long is left (s). Raises TimeoutError when nothing is."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _seconds(retry_after: str | None) -> int | None:
    """Retry-After, which is seconds or a date: RFC 9110, 10.2.3."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return int(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return max(0, round((moment - dt.datetime.now(dt.UTC)).total_seconds()))
