"""Who trains and who waits, as it is kept; and the lock of those who decide."""

from __future__ import annotations

import pytest

from shared.clients import Clients
from shared.errors import ConflictError
from shared.training import LandedExport
from shared.training.line import Line, Running, Waiting, read_line, training_lock, write_line
from tests.support import make_clients

RUNNING = Running("train-1", "c/a.json", "d1", "s1", "2026-11-24T10:00:00+00:00")
WAITING = Waiting("c/b.json", "{}", "2026-11-24T11:00:00+00:00")


@pytest.fixture
def clients(storage: str) -> Clients:
    clients = make_clients(storage)
    clients.blobs.create_container("labelloop")
    return clients


def test_the_line_reads_back_as_it_was_written(clients: Clients) -> None:
    assert read_line(clients) == Line()
    assert read_line(clients).is_idle
    written = write_line(clients, Line(), running=RUNNING, waiting=WAITING, last=RUNNING, unsettled=("train-0",))
    assert read_line(clients) == written
    assert not written.is_idle
    assert write_line(clients, written, running=None, waiting=None, unsettled=()).is_idle


def test_a_worker_that_read_an_older_line_can_not_undo_what_the_next_one_wrote(clients: Clients) -> None:
    old = write_line(clients, Line(), running=RUNNING)
    write_line(clients, old, waiting=WAITING)
    with pytest.raises(ConflictError):
        write_line(clients, old, running=None)
    with pytest.raises(ConflictError):
        write_line(clients, Line(), running=None)
    assert read_line(clients).waiting == WAITING


def test_one_worker_at_a_time_decides(clients: Clients) -> None:
    with training_lock(clients) as first, training_lock(clients) as second:
        assert (first, second) == (True, False)
    with training_lock(clients) as again:
        assert again


@pytest.mark.parametrize(
    "export",
    [
        LandedExport("c", "a.json", "0x1"),
        LandedExport("c", "a/", waits=3, by_hand=True, changes={"max_trials": "4"}, name="azureml:a:1"),
    ],
)
def test_a_message_tells_all_of_an_export(export: LandedExport) -> None:
    assert LandedExport.from_message(export.to_message()) == export
