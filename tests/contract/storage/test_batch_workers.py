"""Several dispatchers at once, with and without the lease, and the events of jobs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from shared.batches import LEASE_PATH, dispatch, progress, settle_job
from shared.batches.dispatching import new_batch
from shared.clients import Clients
from tests.contract.storage.batch_app import FORMATS, App, LedgerLater, break_lease
from tests.contract.storage.unreliable import UnreliableClients, Writes
from tests.support import closed_later, make_clients, promote_bundle


def in_parallel(*work: Any) -> None:
    """Run each in a thread of its own, started together; raise what one of them raised."""
    barrier, failures = threading.Barrier(len(work)), []

    def run(each: Any) -> None:
        barrier.wait()
        try:
            each()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(each,)) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_two_dispatchers_at_once_score_every_image_once(app: App) -> None:
    for number in range(12):
        app.drop(f"{number}.jpg")
    other = make_clients(app.storage, **FORMATS)
    in_parallel(app.dispatch, lambda: dispatch(other, LedgerLater(other.tables)))
    app.dispatch()
    assert len(app.rows()) == 12
    assert app.waiting() == {}


def test_claiming_and_scoring_are_safe_even_without_the_lease(storage: str, tmp_path: Path) -> None:
    app = App(storage, batch_max_images=5)
    promote_bundle(app.clients, tmp_path)
    for number in range(12):
        app.drop(f"{number}.jpg")

    def dispatch_without_lease() -> None:
        clients = make_clients(storage, **FORMATS, batch_max_images=5)
        ledger = LedgerLater(clients.tables)
        for batch in ledger.open_batches():
            progress.resume(clients, ledger, batch)
        while (new := new_batch(clients, ledger)) is not None:
            progress.start(clients, ledger, new)

    in_parallel(dispatch_without_lease, dispatch_without_lease, dispatch_without_lease)
    app.dispatch()
    assert len(app.rows()) == 12
    assert app.waiting() == {}
    assert app.ledger.open_batches() == []


def test_while_another_dispatcher_holds_the_lease_nothing_is_done(app: App) -> None:
    app.dispatch()
    app.drop("a.jpg")
    blob = app.clients.blobs.get_blob_client("labelloop", LEASE_PATH)
    lease = blob.acquire_lease(60)
    app.dispatch()
    assert app.waiting() == {"a.jpg": 0}
    lease.release()
    app.dispatch()
    assert set(app.rows()) == {"a.jpg"}


class OvertakenAtFirst(Writes):
    """Another dispatcher takes the lease right before this one makes the lease's blob."""

    def __init__(self, other: Clients) -> None:
        super().__init__()
        self._other = other

    def write(self, request: Any, send: Any) -> Any:
        if self.number == 2:
            blob = self._other.blobs.get_blob_client(self._other.settings.work_container, LEASE_PATH)
            blob.upload_blob(b"", overwrite=False)
            blob.acquire_lease(60)
        return send()


def test_of_two_dispatchers_that_are_the_first_ever_one_steps_back(app: App) -> None:
    app.drop("a.jpg")
    clients = closed_later(UnreliableClients(app.settings, app.storage, OvertakenAtFirst(app.clients)))
    dispatch(clients, LedgerLater(clients.tables))
    assert app.waiting() == {"a.jpg": 0}, "it belongs to the one that has the lease"


class LeaseTakenAtRenewal(Writes):
    """The lease has run out and another dispatcher has it, right before this one renews it."""

    def __init__(self, other: Clients) -> None:
        super().__init__()
        self._other = other

    def write(self, request: Any, send: Any) -> Any:
        if request.headers.get("x-ms-lease-action") == "renew":
            break_lease(self._other)
            self._other.blobs.get_blob_client("labelloop", LEASE_PATH).acquire_lease(60)
        return send()


@pytest.mark.parametrize("open_batch", [True, False])
def test_a_dispatcher_that_took_too_long_leaves_the_rest_to_the_one_that_has_the_lease_now(
    app: App, open_batch: bool
) -> None:
    app.drop("a.jpg")
    if open_batch:
        app.new_batch()
    clients = closed_later(UnreliableClients(app.settings, app.storage, LeaseTakenAtRenewal(app.clients)))
    dispatch(clients, LedgerLater(clients.tables))
    assert app.rows() == {}
    break_lease(app.clients)
    app.dispatch()
    assert set(app.rows()) == {"a.jpg"}


def test_before_provisioning_there_is_nothing_to_dispatch(storage: str) -> None:
    clients = make_clients(storage)
    dispatch(clients, LedgerLater(clients.tables))


# A scoring job's end


def test_the_end_of_a_job_that_is_no_batchs_changes_nothing(app: App) -> None:
    app.drop("a.jpg")
    app.dispatch()
    before = app.files("")
    (path,) = app.files(".csv")
    for job in ("train-1", "score-nobody", f"score-{Path(path).stem}"):
        settle_job(app.clients, app.ledger, job)
    assert app.files("") == before


def test_an_open_batch_is_brought_forward_by_its_jobs_end(app: App) -> None:
    app.drop("a.jpg")
    batch = app.new_batch()
    settle_job(app.clients, app.ledger, f"score-{batch.id}")
    assert set(app.rows()) == {"a.jpg"}
