"""Queue triggers and queue outputs."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.contract.host.conftest import Account
from tests.contract.host.support import PATIENCE, RunningHost


@pytest.fixture
def sample(account: Account) -> str:
    """The queue `sample`; it is made after the host has started, so the host waits for queues that are not there."""
    account.make_queue("sample")
    return "sample"


def await_empty(account: Account, queue: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not account.is_empty(queue):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_message_runs_the_function_and_is_deleted(host: RunningHost, account: Account, sample: str) -> None:
    sent = account.queue(sample).send_message("hello, wörld")
    (seen,) = host.await_seen("on_message", body="hello, wörld")
    assert seen["id"] == sent.id
    assert seen["dequeue_count"] == 1
    assert sent.inserted_on is not None
    assert seen["inserted"] == sent.inserted_on.isoformat()
    await_empty(account, sample)


def test_fields_of_a_json_message_cover_its_metadata_as_in_azure(
    host: RunningHost, account: Account, sample: str
) -> None:
    account.queue(sample).send_message('{"id": "of the body"}')
    (seen,) = host.await_seen("on_message", body='{"id": "of the body"}')
    assert seen["id"] == "of the body"


def test_a_failing_message_is_tried_again_and_then_set_aside(host: RunningHost, account: Account, sample: str) -> None:
    account.queue(sample).send_message("bad one")
    tries = host.await_seen("on_message", count=3, body="bad one")
    assert [seen["dequeue_count"] for seen in tries] == [1, 2, 3]
    await_empty(account, sample)
    poison = [message.content for message in account.queue("sample-poison").receive_messages()]
    assert poison == ["bad one"]
    assert len(host.await_seen("on_message", body="bad one")) == 3


def test_a_message_that_cannot_be_decoded_is_set_aside_as_it_is(
    host: RunningHost, account: Account, sample: str
) -> None:
    account.queue(sample, base64=False).send_message("not base64!")
    host.await_output("is not base64")
    poison = account.make_queue("sample-poison", base64=False)
    deadline = time.monotonic() + PATIENCE
    while "not base64!" not in [message.content for message in poison.peek_messages(max_messages=32)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_binary_message_arrives_byte_by_byte(host: RunningHost, account: Account) -> None:
    queue = account.make_queue("binary", base64=False)
    queue.send_message("AAECAwT//g==")
    host.await_seen("on_binary", body="0001020304fffe")


def test_an_output_binding_puts_a_message(host: RunningHost, sample: str) -> None:
    assert host.request("POST", "/api/enqueue", data=b"from http").text == "queued"
    host.await_seen("on_message", body="from http")


def test_a_message_is_not_run_twice_however_long_its_function_takes(
    slow: Callable[[], RunningHost], own_account: Account
) -> None:
    own_account.make_queue("work").send_message("long")
    running = slow()
    running.await_seen("on_message", step="started")
    # The lease is 2 s: if it were not renewed, the message would be taken again by then.
    time.sleep(4.5)
    (running.folder / "release").touch()
    running.await_seen("on_message", step="done")
    await_empty(own_account, "work")
    assert len(running.seen("on_message")) == 2
