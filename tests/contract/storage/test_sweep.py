"""The sweep, on real storage: every image that was never noted is found, whatever becomes of a tick, and cheaply."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError
from azure.storage.blob import BlobLeaseClient

from shared.clients import Clients
from shared.errors import InvalidRequestError
from shared.ledger import Image, Ledger
from shared.ledger.rows import SHARDS
from shared.ledger.table import in_parallel
from shared.locks import lock
from shared.sweep import FoundImage, images_of, message_of, receive_found, reject_found, sweep, sweeping
from shared.sweep.lookup import unnoted
from shared.sweep.sweeping import LOCK_PATH, STATE_PATH
from tests.contract.storage.unreliable import KilledAt, ProcessKilled, Requests, UnreliableClients, Writes
from tests.support import closed_later, drop_image, make_clients, make_settings, plain_jpeg, prepare_storage

PICTURE = plain_jpeg(size=(32, 32))
# Blobs of this moment are old enough.
SETTINGS: dict[str, object] = {"max_image_megabytes": 1, "sweep_grace_minutes": 0}


@pytest.fixture
def clients(storage: str) -> Clients:
    clients = make_clients(storage, **SETTINGS)
    prepare_storage(clients)
    return clients


@pytest.fixture
def ledger(clients: Clients) -> Ledger:
    return Ledger(clients.tables)


def image(path: str, etag: str) -> Image:
    return Image("images", path, etag, "images", path, etag)


def drop(clients: Clients, *paths: str, note: bool = False) -> None:
    for path in paths:
        etag = drop_image(clients, path, PICTURE)
        if note:
            Ledger(clients.tables).record_arrival(image(path, etag), lambda: None)


def found(clients: Clients) -> list[str]:
    """The paths of what was put on the queue, sorted; the messages are taken off it."""
    queue, paths = clients.queue("found-images"), list[str]()
    for each in queue.receive_messages():
        paths += (found.path for found in images_of(each.content))
        queue.delete_message(each)
    return sorted(paths)


def tick_of_one_page() -> Callable[[], float]:
    """A clock by which the time of a tick is over after the first page."""
    times = iter((0.0,))
    return lambda: next(times, 1e9)


def progress(clients: Clients) -> dict[str, str]:
    content = clients.blobs.get_blob_client("labelloop", STATE_PATH).download_blob().readall()
    told: dict[str, str] = json.loads(content)
    return told


def test_images_whose_events_were_lost_are_found_once_and_others_are_left_alone(clients: Clients) -> None:
    drop(clients, "a.jpg", "b/ä c.jpg", "d.jpg", note=True)
    drop(clients, "lost.jpg", "b/verlören.jpg")
    drop(clients, "a.jpg")
    assert sweep(clients) == 3
    assert found(clients) == ["a.jpg", "b/verlören.jpg", "lost.jpg"], "the content is another one than was noted"


def test_a_found_image_goes_the_way_of_all_others(clients: Clients, ledger: Ledger) -> None:
    drop(clients, "lost.jpg")
    drop_image(clients, "huge.bmp", bytes(1_200_000))
    drop_image(clients, "text.jpg", b"text")
    assert sweep(clients) == 3
    for each in clients.queue("found-images").receive_messages():
        receive_found(clients, ledger, images_of(each.content))
        receive_found(clients, ledger, images_of(each.content))
    errors = {each.image.path: each.image.error for each in ledger.waiting(9).images}
    assert errors["lost.jpg"] == ""
    assert errors["huge.bmp"] == "the file has 1.2 MB; at most 1 MB are taken"
    assert "not an image" in errors["text.jpg"]
    assert sweep(clients) == 0


def test_a_found_image_whose_worker_died_before_its_announcement_is_announced_by_the_next_one(storage: str) -> None:
    clients = make_clients(storage, **SETTINGS, events_topic_endpoint="https://topic/api/events")
    prepare_storage(clients)
    etag = drop_image(clients, "text.jpg", b"text")
    doomed = closed_later(UnreliableClients(clients.settings, storage, KilledAt(2)))
    with pytest.raises(ProcessKilled):
        receive_found(doomed, Ledger(doomed.tables), [FoundImage("text.jpg", etag)])
    assert Ledger(clients.tables).history("images", "text.jpg"), "it was noted, and not announced"
    receive_found(clients, Ledger(clients.tables), [FoundImage("text.jpg", etag)])
    (message,) = clients.queue("announcements").receive_messages()
    assert json.loads(message.content)["event"]["subject"] == "text.jpg"


def test_a_sweep_goes_on_where_the_last_tick_ended(clients: Clients) -> None:
    drop(clients, *(f"{number}.jpg" for number in range(5)))
    for paths in (["0.jpg", "1.jpg"], ["2.jpg", "3.jpg"], ["4.jpg"]):
        sweep(clients, tick_of_one_page(), page_size=2)
        assert found(clients) == paths
        assert bool(progress(clients)["marker"]) == (len(paths) == 2), "the last page ends the sweep"


def test_the_next_sweep_looks_at_what_came_since_the_last_one_began(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "CLOCK_MARGIN", dt.timedelta(days=-1))
    drop(clients, "a.jpg")
    assert sweep(clients) == 1
    assert sweep(clients) == 0, "by a margin that lies in the future it has seen everything"
    monkeypatch.undo()
    clients.blobs.get_blob_client("labelloop", STATE_PATH).delete_blob()
    assert sweep(clients) == 1
    drop(clients, "b.jpg")
    assert sweep(clients) == 2, "what came within the margin is looked at again"


def test_what_was_too_fresh_is_looked_at_by_the_next_sweep(clients: Clients, storage: str) -> None:
    drop(clients, "a.jpg")
    assert sweep(make_clients(storage, sweep_grace_minutes=60)) == 0
    assert sweep(clients) == 1


def test_no_death_at_any_point_loses_an_image(clients: Clients, storage: str) -> None:
    drop(clients, *(f"{number}.jpg" for number in range(12)))
    locked, state = (clients.blobs.get_blob_client("labelloop", path) for path in (LOCK_PATH, STATE_PATH))
    for number in range(1, 99):
        writes = KilledAt(number)
        with contextlib.suppress(ProcessKilled):
            sweep(closed_later(UnreliableClients(make_settings(**SETTINGS), storage, writes)), page_size=4)
        with contextlib.suppress(HttpResponseError):  # It may have died without the lease.
            BlobLeaseClient(locked).break_lease(0)
        sweep(clients, page_size=4)
        assert set(found(clients)) == {f"{number}.jpg" for number in range(12)}, f"killed at write {number}"
        if not writes.killed:
            break
        state.delete_blob()
    assert number > 4


def test_one_sweep_runs_at_a_time(clients: Clients) -> None:
    drop(clients, "a.jpg")
    with lock(clients, LOCK_PATH) as is_mine:
        assert is_mine
        assert sweep(clients) == 0
    assert sweep(clients) == 1


def test_a_sweep_that_was_overtaken_ends(clients: Clients, storage: str) -> None:
    drop(clients, "a.jpg")
    sweep(clients)

    class OvertakenWriting(Writes):
        def write(self, request: Any, send: Callable[[], Any]) -> Any:
            if STATE_PATH in request.url:
                clients.blobs.get_blob_client("labelloop", STATE_PATH).upload_blob(b"{}", overwrite=True)
            return send()

    assert sweep(closed_later(UnreliableClients(make_settings(**SETTINGS), storage, OvertakenWriting()))) == 0
    assert sweep(clients) == 1, "the one that has overtaken it says where the sweep is: at the beginning"


def test_before_there_are_containers_nothing_is_swept(storage: str) -> None:
    assert sweep(make_clients(storage)) == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"other": 1}', b'{"since": "soon"}'])
def test_a_state_that_cannot_be_read_makes_the_sweep_begin_anew(clients: Clients, content: bytes) -> None:
    drop(clients, "a.jpg")
    clients.blobs.get_blob_client("labelloop", STATE_PATH).upload_blob(content)
    assert sweep(clients) == 1
    assert progress(clients)["since"]


def test_a_marker_that_is_not_taken_any_more_makes_the_sweep_begin_anew(clients: Clients, storage: str) -> None:
    drop(clients, "a.jpg", "b.jpg", "c.jpg")
    sweep(clients, tick_of_one_page(), page_size=2)
    assert len(found(clients)) == 2

    class RefusesMarkers(Writes):
        def send(self, request: Any, send: Callable[[], Any]) -> Any:
            if "comp=list" in request.url and "marker=" in request.url:
                error = HttpResponseError("The marker is not valid.")
                error.status_code = 400
                raise error
            return send()

    with pytest.raises(HttpResponseError):
        sweep(closed_later(UnreliableClients(make_settings(**SETTINGS), storage, RefusesMarkers())))
    assert sweep(clients) == 3


# Cost


def test_a_sweep_costs_a_request_a_page_and_few_for_what_the_ledger_knows(clients: Clients, storage: str) -> None:
    drop(clients, *(f"{number:03}.jpg" for number in range(60)), note=True)
    requests = Requests()
    counted = closed_later(UnreliableClients(make_settings(**SETTINGS), storage, requests))
    assert sweep(counted, page_size=15) == 0
    others = 8  # The lock and the state.
    assert requests.total <= 60 / 15 + 4 * len(SHARDS) + others
    requests.total = 0
    clients.blobs.get_blob_client("labelloop", STATE_PATH).upload_blob(
        json.dumps({"since": "2999-01-01T00:00:00+00:00", "started": "", "marker": ""}), overwrite=True
    )
    assert sweep(counted, page_size=15) == 0
    assert requests.total <= 60 / 15 + others, "what was looked at by an earlier sweep costs no look at the ledger"


@pytest.mark.parametrize(("rows", "asked"), [(0, 50), (120, 120), (120, 5), (20, 300)])
def test_what_the_ledger_does_not_know_is_told_in_few_requests(storage: str, rows: int, asked: int) -> None:
    requests = Requests()
    clients = closed_later(UnreliableClients(make_settings(**SETTINGS), storage, requests))
    ledger = Ledger(clients.tables)
    ledger.create()
    dice = random.Random(rows + asked)  # noqa: S311
    images = [image(f"{number}.jpg", "0x1") for number in range(rows + asked)]
    dice.shuffle(images)
    in_parallel(lambda each: ledger.record_arrival(each, lambda: None), images[:rows])
    questions = [*dice.sample(images, asked), image(images[0].path, "0x2")]
    requests.total = 0
    assert set(unnoted(clients.tables, questions)) == set(questions) - set(images[:rows])
    assert requests.total <= min(len(questions), 4 * len(SHARDS)) + len(SHARDS)


# What was found


def test_one_image_that_cannot_be_taken_in_does_not_keep_the_others_from_it(clients: Clients, storage: str) -> None:
    drop(clients, "a.jpg", "bad.jpg", "c.jpg")

    class Unreachable(Writes):
        def send(self, request: Any, send: Callable[[], Any]) -> Any:
            if "bad.jpg" in request.url:
                raise ServiceRequestError("no route to host")
            return send()

    unlucky = closed_later(UnreliableClients(make_settings(**SETTINGS), storage, Unreachable()))
    images = [FoundImage(path, "0x1") for path in ("a.jpg", "bad.jpg", "c.jpg")]
    with pytest.raises(ExceptionGroup, match="1 images could not be taken in"):
        receive_found(unlucky, Ledger(unlucky.tables), images)
    assert [each.image.path for each in Ledger(clients.tables).waiting(9).images] == ["a.jpg", "c.jpg"]


def test_a_found_image_that_was_replaced_is_not_given_up(clients: Clients, ledger: Ledger) -> None:
    drop(clients, "a.jpg")
    reject_found(clients, ledger, [FoundImage("a.jpg", "0x1")], "no reason")
    assert ledger.waiting(9).images == ()


def test_a_message_holds_the_longest_paths() -> None:
    images = [FoundImage("𐍈" * 1024, "0x8DEB0A5B4C0D000")] * 8
    message = message_of(images)
    assert images_of(message.encode()) == images
    assert len(message.encode()) < 48 * 1024


@pytest.mark.parametrize("message", ["", "[]", "{}", '{"images": [1]}', '{"images": [["a"]]}'])
def test_a_message_that_names_no_images_is_refused(message: str) -> None:
    with pytest.raises(InvalidRequestError, match="a message of found images must be"):
        images_of(message)
