"""An app that cannot run says why; a host that is stopped or killed loses nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.functions_host.blob_trigger import MOST_QUEUED
from tests.contract.host.conftest import Account
from tests.contract.host.support import RunningHost
from tests.contract.host.test_blobs import upload

BROKEN = {
    "import_error": "ModuleNotFoundError: No module named 'a_module_that_is_not_there'",
    "duplicate_name": "twin",
    "no_app": "Could not find top level function app instances in function_app.py",
    "polling_blobs": "function 'on_blob': its blob trigger has source LogsAndContainerScan; this host supports"
    " source EventGrid only",
    "table_output": "function 'add_row': output binding 'table' is not supported by this host",
}


@pytest.fixture(scope="module")
def broken(
    azurite: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[int, str]]]:
    """Exit code and output of each broken app's host; they start side by side."""
    environment = Account(azurite()).environment()
    hosts = {name: RunningHost(name, tmp_path_factory.mktemp(name), environment) for name in BROKEN}
    try:
        yield {name: (running.wait(), running.output()) for name, running in hosts.items()}
    finally:
        for running in hosts.values():
            running.stop()


@pytest.mark.parametrize("app", BROKEN)
def test_an_app_that_cannot_run_ends_the_host_with_the_reason(broken: dict[str, tuple[int, str]], app: str) -> None:
    code, output = broken[app]
    assert code == 1
    assert BROKEN[app] in output
    assert "listening" not in output


def test_the_trace_of_an_import_error_names_the_line(broken: dict[str, tuple[int, str]]) -> None:
    assert "import a_module_that_is_not_there" in broken["import_error"][1]


def test_a_function_whose_settings_are_missing_is_in_error_and_the_others_run(
    own_account: Account, tmp_path: Path
) -> None:
    running = RunningHost("missing_setting", tmp_path, own_account.environment())
    try:
        running.start()
        assert (
            "The 'no_queue_name' function is in error: '%NAME_OF_THE_QUEUE%' does not resolve to a value."
            in running.output()
        )
        assert (
            "The 'no_connection' function is in error: Storage account connection string"
            " 'AzureWebJobsNO_SUCH_CONNECTION' does not exist." in running.output()
        )
        assert running.request("GET", "/api/fine").text == "fine"
        headers = {"x-functions-key": running.keys["master"]}
        assert len(running.request("GET", "/admin/host/status", headers=headers).json()["errors"]) == 2
    finally:
        running.stop()


def test_a_kill_between_queueing_and_finishing_loses_nothing(
    slow: Callable[[], RunningHost], own_account: Account
) -> None:
    own_account.make_queue("work").send_message("one")
    killed = slow()
    killed.await_seen("on_message", step="started")
    for number in range(3):
        event = upload(own_account, f"{number}.jpg", b"abc")
        assert killed.deliver("blobs", "Host.Functions.on_blob", event).status_code == 202
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not any(seen["step"] == "done" for seen in killed.seen("on_blob") + killed.seen("on_message"))
    (killed.folder / "release").touch()
    restarted = slow()
    restarted.await_seen("on_message", step="done")
    restarted.await_seen("on_blob", count=3, step="done")


def test_a_stopped_host_lets_its_functions_end(slow: Callable[[], RunningHost], own_account: Account) -> None:
    own_account.make_queue("work").send_message("one")
    running = slow()
    running.await_seen("on_message", step="started")
    running.send_signal(signal.SIGTERM)
    (running.folder / "release").touch()
    assert running.wait() == 0
    assert [seen["step"] for seen in running.seen("on_message")] == ["started", "done"]
    assert own_account.is_empty("work")


def test_a_stopped_host_gives_back_what_it_cannot_finish(slow: Callable[[], RunningHost], own_account: Account) -> None:
    queue = own_account.make_queue("work")
    queue.send_message("one")
    running = slow()
    running.await_seen("on_message", step="started")
    running.send_signal(signal.SIGINT)
    assert running.wait() == 0
    assert [message.content for message in queue.receive_messages()] == ["one"]


def test_event_grid_waits_while_many_blobs_wait_and_a_stopping_host_takes_what_it_is_told(
    slow: Callable[[], RunningHost], own_account: Account
) -> None:
    event = upload(own_account, "a.jpg", b"abc")
    running = slow()
    function = "Host.Functions.on_blob"
    # More than MOST_QUEUED wait, though some are at work.
    assert running.deliver("blobs", function, [event] * (MOST_QUEUED + 20)).status_code == 202
    with ThreadPoolExecutor(1) as pool:
        one_more = pool.submit(running.deliver, "blobs", function, event)
        with pytest.raises(TimeoutError):
            one_more.result(1)
        running.send_signal(signal.SIGTERM)
        assert one_more.result(10).status_code == 202
    assert running.wait() == 0
    (running.folder / "release").touch()
    slow().await_seen("on_blob", count=MOST_QUEUED + 21, step="done")
