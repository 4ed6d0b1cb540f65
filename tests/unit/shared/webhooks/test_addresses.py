"""Where deliveries may go, and every way to write where they may not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from shared.errors import WebhookRefusedError
from shared.webhooks.addresses import look_up, parse
from tests.support import make_settings

Resolver = Callable[..., None]


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """Lets names have addresses: the answers to one question after the other, the last one for good."""

    def resolve(*answers: Sequence[str]) -> None:
        left = list(answers)

        def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
            now = left.pop(0) if len(left) > 1 else left[0]
            if not now:
                raise socket.gaierror(socket.EAI_NONAME, "unknown")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in now]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return resolve


def addresses(url: str, *allowed: str) -> list[str]:
    return look_up(parse(url), make_settings(webhook_allowed_hosts=",".join(allowed)).webhook_allowed_hosts, soon())


def soon() -> float:
    return time.monotonic() + 30


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/t0ken", "begins with http; it must begin with https"),
        ("ftp://example.com/t0ken", "must begin with https"),
        ("//example.com/t0ken", "begins with no scheme"),
        ("https://user@example.com/t0ken", "user's name or password"),
        ("https://user:t0ken@example.com/", "user's name or password"),
        ("https://example.com@127.0.0.1/t0ken", "user's name or password"),
        ("https://example.com/#t0ken", "fragment"),
        ("https://example.com/t0 ken", "without blanks"),
        ("https://example.com\\@127.0.0.1/t0ken", "backslashes"),
        ("https://example.com/t0ken\r\nx: y", "without blanks"),
        ("https://ex\u00e4mple.com/t0ken", "all of ASCII"),
        ("https://\u2460\u2461\u2466.0.0.1/t0ken", "all of ASCII"),
        (f"https://example.com/t0ken{'x' * 2048}", "at most 2048 characters"),
        ("https:///t0ken", "no usable host"),
        ("https://.../t0ken", "no usable host"),
        ("https://-example.com/t0ken", "no usable host"),
        ("https://ex%61mple.com/t0ken", "no usable host"),
        ("https://[fe80::1%25eth0]/t0ken", "no "),
        ("https://[t0ken]/", "no URL"),
        ("https://example.com:t0ken/", "no URL"),
        ("https://example.com:65536/t0ken", "no URL"),
    ],
)
def test_what_is_no_usable_url_is_refused_in_words_that_do_not_repeat_it(url: str, words: str) -> None:
    with pytest.raises(WebhookRefusedError) as refusal:
        parse(url)
    assert words in str(refusal.value)
    assert "t0ken" not in str(refusal.value)


def test_a_url_has_a_host_a_port_and_a_path_which_is_not_shown() -> None:
    place = parse("https://Hooks.Example.COM./a/b?sig=t0ken")
    assert (place.host, place.port, place.path) == ("hooks.example.com", 443, "/a/b?sig=t0ken")
    assert "t0ken" not in repr(place)
    assert parse("https://[2606:4700::1]:8443?x").path == "/?x"


PRIVATE = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0x7f000001",
    "0x7f.1",
    "0x7F.0x0.0x0.0x1",
    "0",
    "0.0.0.0",  # noqa: S104 # an address to refuse
    "localhost",
    "LOCALHOST",
    "localhost.",
    "10.1.2.3",
    "167838211",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "168.63.129.16",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:168.63.129.16]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::168.63.129.16]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::1]",
    "[2002:a83f:8110::1]",
    "[2001:0:5db8:d822::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_an_address_that_is_not_public_is_refused_however_it_is_written(host: str) -> None:
    with pytest.raises(WebhookRefusedError, match=r"not public|no address"):
        addresses(f"https://{host}/")


@pytest.mark.parametrize(
    "host",
    [
        "93.184.215.14",
        "1572394766",
        "[2606:4700::1]",
        "[64:ff9b::5db8:d70e]",
        "[2002:5db8:d70e::1]",
        "[::ffff:5db8:d70e]",
    ],
)
def test_public_addresses_are_taken_however_they_are_written(host: str) -> None:
    assert addresses(f"https://{host}/")


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["93.184.215.14", "::1"]])
def test_a_name_is_refused_when_any_of_its_addresses_is_not_public(resolves: Resolver, answer: list[str]) -> None:
    resolves(answer)
    with pytest.raises(WebhookRefusedError, match=r"hooks\.example, which has an address that is not public"):
        addresses("https://hooks.example/")


def test_a_name_may_mean_something_else_by_now(resolves: Resolver) -> None:
    resolves(["93.184.215.14"], ["127.0.0.1"])
    assert addresses("https://hooks.example/") == ["93.184.215.14"]
    with pytest.raises(WebhookRefusedError, match="not public"):
        addresses("https://hooks.example/")


def test_a_name_that_dns_does_not_know_is_refused(resolves: Resolver) -> None:
    resolves([])
    with pytest.raises(WebhookRefusedError, match="has no address; it must be known to DNS"):
        addresses("https://hooks.example/")


def test_a_resolver_is_not_waited_for_longer_than_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(60) and [])
    begun = time.monotonic()
    with pytest.raises(WebhookRefusedError, match="not told in time"):
        look_up(parse("https://hooks.example/"), (), begun + 0.1)
    answered.set()
    assert time.monotonic() - begun < 10


def test_other_ports_are_for_hosts_that_are_named(resolves: Resolver) -> None:
    resolves(["93.184.215.14"])
    with pytest.raises(WebhookRefusedError, match="port 8443; it must be 443"):
        addresses("https://hooks.example:8443/", "other.example", "10.0.0.0/8")
    for allowed in ("hooks.example", "Hooks.Example.", "93.184.215.0/24"):
        assert addresses("https://hooks.example:8443/", allowed) == ["93.184.215.14"]


@pytest.mark.parametrize("allowed", ["hooks.corp", "10.1.0.0/16", "10.1.2.3", "93.184.0.0/16, 10.1.2.0/24"])
def test_hosts_and_networks_that_are_named_may_be_private(resolves: Resolver, allowed: str) -> None:
    resolves(["10.1.2.3"])
    assert addresses("https://hooks.corp/", allowed) == ["10.1.2.3"]


def test_what_is_named_opens_nothing_else(resolves: Resolver) -> None:
    resolves(["10.1.2.3", "10.2.0.1"])
    for allowed in ("10.1.0.0/16", "corp", "10.1.2.3,other.corp", "fd00::/8"):
        with pytest.raises(WebhookRefusedError, match="not public"):
            addresses("https://hooks.corp/", allowed)


@pytest.mark.parametrize("address", ["169.254.169.254", "168.63.129.16", "::ffff:169.254.169.254", "fe80::1"])
def test_metadata_and_link_local_addresses_are_refused_even_when_they_are_named(
    resolves: Resolver, address: str
) -> None:
    resolves([address])
    with pytest.raises(WebhookRefusedError, match="not public"):
        addresses("https://hooks.corp/", "hooks.corp", "0.0.0.0/0", "::/0")
