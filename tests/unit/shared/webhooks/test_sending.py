"""One delivery to a real HTTPS server: what counts as an answer, and what is cut off."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from shared.webhooks.addresses import Place
from shared.webhooks.sending import Answer, NoAnswerError, post
from tests.unit.shared.webhooks.receiver import Receiver

HEADERS = {"content-type": "text/plain"}
NOWHERE = "127.0.0.2"


def send(receiver: Receiver, *addresses: str, host: str = "localhost", seconds: float = 30) -> Answer:
    place = Place(host, receiver.port, "/hook?sig=t0ken")
    return post(place, addresses or ["127.0.0.1"], HEADERS, b"body", time.monotonic() + seconds)


def test_a_body_arrives_as_it_is_with_the_hosts_name_and_the_query(receiver: Receiver) -> None:
    assert send(receiver) == Answer(204, None)
    (delivery,) = receiver.deliveries
    assert (delivery.path, delivery.body) == ("/hook?sig=t0ken", b"body")
    assert delivery.headers["host"] == f"localhost:{receiver.port}"
    assert delivery.headers["content-type"] == "text/plain"


@pytest.mark.parametrize(("status", "is_taken"), [(200, True), (202, True), (299, True), (400, False), (500, False)])
def test_any_2xx_is_taken_and_nothing_else(receiver: Receiver, status: int, is_taken: bool) -> None:
    receiver.answers = [status]
    answer = send(receiver)
    assert (answer.status, answer.is_taken) == (status, is_taken)
    assert str(status) in answer.words


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.answers = [(status, {"Location": receiver.url("/elsewhere")})]
    answer = send(receiver)
    assert not answer.is_taken
    assert "redirects are not followed" in answer.words
    assert ([each.path for each in receiver.deliveries], receiver.connections) == (["/hook?sig=t0ken"], 1)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("120", 120), ("0", 0), ("soon", None), ("-5", None), ("1.5", None), ("Tue, 24 Nov 2015 06:00:00 GMT", 0)],
)
def test_a_receiver_may_say_when_to_come_again(receiver: Receiver, told: str, seconds: int | None) -> None:
    receiver.answers = [(503, {"Retry-After": told})]
    assert send(receiver).retry_after == seconds


def test_a_receiver_may_say_when_to_come_again_by_a_date(receiver: Receiver) -> None:
    receiver.answers = [(503, {"Retry-After": "Tue, 24 Nov 2099 06:00:00 GMT"})]
    assert (send(receiver).retry_after or 0) > 1e9


def test_a_proxy_in_the_environment_is_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert send(receiver).is_taken


def test_the_next_address_is_tried_when_one_does_not_answer(receiver: Receiver) -> None:
    assert send(receiver, NOWHERE, "127.0.0.1").is_taken


# What is no answer


def test_a_receiver_that_is_not_there_is_told_without_the_url(receiver: Receiver) -> None:
    with pytest.raises(NoAnswerError, match="no connection to the receiver: Connection refused") as failure:
        send(receiver, NOWHERE)
    assert "t0ken" not in str(failure.value)


def test_the_certificate_must_be_the_hosts_whatever_the_address(receiver: Receiver) -> None:
    with pytest.raises(NoAnswerError, match="certificate is not good: Hostname mismatch"):
        send(receiver, host="hooks.example")
    assert receiver.deliveries == []
    assert send(receiver, host="127.0.0.1").is_taken


def test_a_certificate_that_nobody_vouches_for_is_not_good(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(NoAnswerError, match="certificate is not good: self-signed certificate"):
        send(receiver)
    monkeypatch.setenv("SSL_CERT_FILE", str(receiver.certificate))
    assert send(receiver).is_taken


def drip(*first: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Writes something, and then a byte every now and then, for 10 s or until the client is gone."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        for part in itertools.chain(first, itertools.repeat(b"x", 500)):
            handler.wfile.write(part)
            time.sleep(0.02)

    return answer


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nx-slow: "], ids=["status", "header"])
def test_a_receiver_that_drips_is_cut_off_when_the_time_is_over(receiver: Receiver, first: bytes) -> None:
    receiver.answers = [drip(first)]
    begun = time.monotonic()
    with pytest.raises(NoAnswerError, match="no answer within 10 s"):
        send(receiver, seconds=0.4)
    assert time.monotonic() - begun < 4


def test_a_receiver_that_is_silent_is_cut_off_when_the_time_is_over(receiver: Receiver) -> None:
    """Before it has said anything of TLS: it only listens."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = Place("localhost", int(silent.getsockname()[1]), "/")
        begun = time.monotonic()
        with pytest.raises(NoAnswerError, match="no answer within 10 s"):
            post(place, ["127.0.0.1"], HEADERS, b"", begun + 0.3)
    assert time.monotonic() - begun < 3


def test_an_event_is_taken_when_the_status_says_so_however_slow_the_rest_is(receiver: Receiver) -> None:
    receiver.answers = [drip(b"HTTP/1.1 200 OK\r\n\r\n")]
    begun = time.monotonic()
    assert send(receiver, seconds=0.4).is_taken
    assert time.monotonic() - begun < 4


def test_of_a_large_answer_only_the_beginning_is_read(receiver: Receiver) -> None:
    written = []

    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        for _ in range(1000):
            handler.wfile.write(b"x" * 1_000_000)
            written.append(1)

    receiver.answers = [flood]
    assert send(receiver).is_taken
    assert len(written) < 100


@pytest.mark.parametrize(
    "content",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 999999 ?\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n"],
    ids=["another protocol", "no status", "too many headers"],
)
def test_what_is_no_http_is_no_answer(receiver: Receiver, content: bytes) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(content)

    receiver.answers = [answer]
    with pytest.raises(NoAnswerError, match="the receiver's answer is no HTTP: "):
        send(receiver)


def test_what_is_no_tls_is_no_answer(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is closed at once."""

    def connect(address: Any, timeout: float) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.close()
        return ours

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(NoAnswerError, match=r"no TLS|no connection"):
        send(receiver)
