"""Dead letters are put back, on real storage."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from azure.core.pipeline.transport import HttpTransport
from azure.storage.blob import ContainerClient
from PIL import Image as PillowImage

from shared import dead_letters, recovery
from shared.clients import Clients
from shared.dead_letters import DEAD_LETTERS
from shared.images import receive_image
from shared.ledger import Image, Ledger
from shared.recovery import MAX_TRIES, put_back_dead_letters
from tests.contract.storage.unreliable import AnswerLostAt, KilledAt, ProcessKilled, UnreliableClients, Writes
from tests.support import closed_later, drop_image, encoded, make_clients, plain_jpeg, prepare_storage, without_queues

Event = dict[str, Any]
TOPIC = "labelloop-account"
EXPORTS = "azureml-blobstore"
BLOB_CREATED = "Microsoft.Storage.BlobCreated"
RUN_COMPLETED = "Microsoft.MachineLearningServices.RunCompleted"


def dead(event_type: str, subject: str, data: dict[str, Any]) -> Event:
    """An event as it stands in a dead letter
    (https://learn.microsoft.com/azure/event-grid/delivery-and-retry#dead-letter-events).
    """
    return {
        "id": "93902694-901e-008f-6f95-7153a806873c",
        "eventTime": "2026-11-24T06:00:00.1647262Z",
        "eventType": event_type,
        "dataVersion": "",
        "metadataVersion": "1",
        "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/account",
        "subject": subject,
        "data": data,
        "deadLetterReason": "MaxDeliveryAttemptsExceeded",
        "deliveryAttempts": 30,
        "lastDeliveryOutcome": "NotFound",
        "publishTime": "2026-11-24T06:00:01.0265758Z",
        "lastDeliveryAttemptTime": "2026-11-25T06:00:01.0465788Z",
    }


def blob_event(container: str, path: str, *, etag: str = "0x1", **data: Any) -> Event:
    subject = f"/blobServices/default/containers/{container}/blobs/{path}"
    return dead(BLOB_CREATED, subject, {"api": "PutBlob", "eTag": etag, "contentLength": 10, **data})


def image_event(path: str, **data: Any) -> Event:
    return blob_event("images", path, **data)


def job_event(job: str, status: str | None = None) -> Event:
    data = {"runId": job, **({"runStatus": status} if status else {})}
    return dead(RUN_COMPLETED, f"experiments/e/runs/{job}", data)


class Office:
    """An account with a container for dead letters, and what was put back from there."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.ledger = prepare_storage(clients)
        self.container: ContainerClient = clients.blobs.create_container(DEAD_LETTERS)
        self.exports: ContainerClient = clients.blobs.create_container(EXPORTS)
        self._numbers = itertools.count(1)

    def post(self, *events: Any, raw: bytes | None = None) -> str:
        """Write a letter as Event Grid does. Returns its path."""
        path = f"{TOPIC}/LABELLOOP-IMAGES/2026/11/24/6/{next(self._numbers):04}.json"
        self.container.upload_blob(path, json.dumps(events).encode() if raw is None else raw)
        return path

    def tick(self, clients: Clients | None = None, **options: Any) -> None:
        using = clients or self.clients
        put_back_dead_letters(using, Ledger(using.tables), **options)

    def letters(self) -> list[str]:
        """Those that will be tried."""
        return [name for name in self.container.list_blob_names() if not name.startswith("unreturned/")]

    def unreturned(self) -> dict[str, str]:
        """Path → reason of those that will not be tried again."""
        found = self.container.list_blobs(name_starts_with="unreturned/", include=["metadata"])
        return {each.name.removeprefix("unreturned/"): each.metadata["reason"] for each in found}

    def read(self, path: str) -> Any:
        return json.loads(self.container.download_blob(path).readall())

    def tries(self, path: str) -> int:
        return int(self.container.get_blob_client(path).get_blob_properties().metadata.get("tries", 0))

    def waiting(self) -> list[Image]:
        return [each.image for each in self.ledger.waiting(1000).images]

    def taken(self, queue: str) -> list[Any]:
        """The messages that are visible in a queue, which are gone then."""
        client = self.clients.queue(queue)
        messages = []
        for message in client.receive_messages(messages_per_page=32):
            messages.append(json.loads(message.content))
            client.delete_message(message)
        return messages


@pytest.fixture
def office(storage: str) -> Office:
    return Office(make_clients(storage, export_quiet_seconds=0, max_image_megabytes=1))


def test_an_image_is_taken_in_and_its_letter_goes(office: Office) -> None:
    etag = drop_image(office.clients, "2026/a b.jpg", plain_jpeg())
    office.post(image_event("2026/a b.jpg", etag=etag))
    office.tick()
    assert office.waiting() == [Image("images", "2026/a b.jpg", etag, "images", "2026/a b.jpg", etag)]
    assert office.letters() == []
    assert office.unreturned() == {}


def test_a_label_export_is_announced_as_it_is_now(office: Office) -> None:
    path = "Labeling/export/coco/x.json"
    etag = office.exports.upload_blob(path, b"{}").get_blob_properties().etag
    office.post(blob_event(EXPORTS, path, etag="0x1"))
    office.tick()
    assert office.taken("label-exports") == [{"container": EXPORTS, "path": path, "etag": etag}]
    assert office.letters() == []


def test_a_letter_may_hold_many_events(office: Office) -> None:
    etag = drop_image(office.clients, "a.jpg", plain_jpeg())
    office.post(job_event("score-1"), image_event("a.jpg", etag=etag), job_event("train-1", "Failed"))
    office.tick()
    assert office.taken("job-events") == [{"job": "score-1"}, {"job": "train-1"}]
    assert [image.path for image in office.waiting()] == ["a.jpg"]
    assert office.letters() == []


@pytest.mark.parametrize("event", [job_event("score-1", "Running"), job_event("someone-elses")])
def test_an_event_that_its_function_would_let_pass_is_done(office: Office, event: Event) -> None:
    office.post(event)
    office.tick()
    assert office.taken("job-events") == []
    assert office.letters() == []
    assert office.unreturned() == {}


def test_two_letters_of_one_image_and_an_event_that_was_delivered_after_all_are_one_image(office: Office) -> None:
    etag = drop_image(office.clients, "a.jpg", plain_jpeg())
    receive_image(office.clients, office.ledger, "a.jpg", plain_jpeg())
    noted = office.ledger.history("images", "a.jpg")
    for _ in range(2):
        office.post(image_event("a.jpg", etag=etag))
    office.tick()
    assert office.ledger.history("images", "a.jpg") == noted
    assert office.letters() == []


def test_an_image_that_has_changed_is_taken_in_as_it_is_now(office: Office) -> None:
    older = drop_image(office.clients, "a.jpg", plain_jpeg())
    newer = drop_image(office.clients, "a.jpg", plain_jpeg((0, 0, 255)))
    office.post(image_event("a.jpg", etag=older))
    office.tick()
    assert [row["etag"] for row in office.ledger.history("images", "a.jpg")] == [newer]
    assert office.letters() == []


@pytest.mark.parametrize(
    "event",
    [image_event("gone.jpg"), image_event("gone.jpg", contentLength=10**9), blob_event(EXPORTS, "Labeling/export/x")],
)
def test_a_blob_that_is_gone_leaves_nothing(office: Office, event: Event) -> None:
    office.post(event)
    office.tick()
    assert office.waiting() == []
    assert office.taken("label-exports") == []
    assert office.letters() == []
    assert office.unreturned() == {}


class Reads(Writes):
    """Notes what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def send(self, request: Any, send: Callable[[], Any]) -> Any:
        if request.method == "GET":
            self.urls.append(request.url)
        return super().send(request, send)


def test_an_image_that_is_too_large_is_rejected_unread(office: Office, storage: str) -> None:
    etag = drop_image(office.clients, "huge.jpg", bytes(1_000_001))
    office.post(image_event("huge.jpg", etag="0x0", contentLength=10))
    reads = Reads()
    office.tick(closed_later(UnreliableClients(office.clients.settings, storage, reads)))
    (image,) = office.waiting()
    assert (image.path, image.etag) == ("huge.jpg", etag)
    assert image.error == "the file has 1.0 MB; at most 1 MB are taken"
    assert reads.urls
    assert not [url for url in reads.urls if "huge.jpg" in url]


@pytest.mark.parametrize("content", [plain_jpeg(), b"text"])
def test_an_image_that_was_taken_in_before_is_not_read_again(office: Office, storage: str, content: bytes) -> None:
    etag = drop_image(office.clients, "a.jpg", content)
    receive_image(office.clients, office.ledger, "a.jpg", content)
    office.post(image_event("a.jpg", etag=etag))
    reads = Reads()
    office.tick(closed_later(UnreliableClients(office.clients.settings, storage, reads)))
    assert not [url for url in reads.urls if "/images/a.jpg" in url]
    assert office.letters() == []


NOT_UNDERSTOOD = {
    b"": "it is not JSON",
    b"{'a': 1}": "it is not JSON",
    b"\xff\xfe\xfd": "it is not JSON",
    b"[" * 200_000: "it is not JSON",
    b'{"id": "1"}': "it is not a JSON array of events",
    b"[1]": "'1' is no event",
    b"[%s]" % (b" " * 300_000): "it has 300002 bytes; a letter has at most 300000",
    json.dumps([dead("Microsoft.Storage.BlobDeleted", "s", {})]).encode(): "nothing takes events of type",
    json.dumps([blob_event("others", "a.jpg")]).encode(): "others/a.jpg is neither a new image nor a label export",
    json.dumps([dead(BLOB_CREATED, "\ud800\n\xe4", {})]).encode(): r"its subject '\ud800\n\xe4' names no blob",
    json.dumps([image_event("a.jpg", contentLength="x")]).encode(): "contentLength is 'x'",
}


def test_what_is_not_understood_is_put_aside_with_the_reason_and_does_not_stop_the_others(
    office: Office, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "MAX_LETTER_BYTES", 300_000)
    posted = {office.post(raw=raw): raw for raw in NOT_UNDERSTOOD}
    office.post(job_event("score-1"))
    office.tick()
    assert office.taken("job-events") == [{"job": "score-1"}]
    assert office.letters() == []
    found = office.unreturned()
    assert set(found) == set(posted)
    for path, raw in posted.items():
        assert NOT_UNDERSTOOD[raw] in found[path]
        assert office.container.download_blob(f"unreturned/{path}").readall() == raw
        assert [each for each in caplog.messages if path in each and "is now in unreturned/" in each]


def test_of_a_letter_only_what_is_not_understood_is_put_aside(office: Office) -> None:
    unknown = dead("Microsoft.Storage.BlobDeleted", "s", {})
    path = office.post(job_event("score-1"), unknown, job_event("score-2"))
    office.tick()
    assert office.taken("job-events") == [{"job": "score-1"}, {"job": "score-2"}]
    assert office.letters() == []
    assert office.read(f"unreturned/{path}") == [unknown]


def test_what_fails_again_and_again_is_put_aside_and_tried_again_when_it_is_moved_back(office: Office) -> None:
    office.clients.queues.delete_queue("job-events")
    etag = drop_image(office.clients, "a.jpg", plain_jpeg())
    path = office.post(image_event("a.jpg", etag=etag), job_event("score-1"))
    office.container.get_blob_client(path).set_blob_metadata({"tries": "a stranger's"})
    for number in range(1, MAX_TRIES):
        office.tick()
        assert office.tries(path) == number
    assert office.read(path) == [job_event("score-1")]
    office.tick()
    assert office.letters() == []
    assert "The specified queue does not exist" in office.unreturned()[path]
    office.tick()
    aside = office.container.get_blob_client(f"unreturned/{path}")
    back = office.container.get_blob_client("again.json")
    back.start_copy_from_url(aside.url)
    aside.delete_blob()
    office.tick()
    assert office.tries("again.json") == 1
    office.clients.queues.create_queue("job-events")
    office.tick()
    assert office.taken("job-events") == [{"job": "score-1"}]
    assert office.letters() == []
    assert office.unreturned() == {}


def test_a_letter_that_is_given_up_stays_so_when_its_worker_dies_before_it_is_moved(
    office: Office, storage: str
) -> None:
    office.clients.queues.delete_queue("job-events")
    path = office.post(job_event("score-1"))
    office.container.get_blob_client(path).set_blob_metadata({"tries": str(MAX_TRIES - 1)})
    # A message that has no queue, the decision, the copy; not the letter's end.
    doomed = closed_later(UnreliableClients(office.clients.settings, storage, KilledAt(4)))
    with pytest.raises(ProcessKilled):
        office.tick(doomed)
    assert office.letters() == list(office.unreturned()) == [path]
    office.clients.queues.create_queue("job-events")
    office.tick()
    assert office.letters() == []
    assert list(office.unreturned()) == [path]
    assert office.taken("job-events") == [], "else it would be reported as unreturned though it was put back"


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDKs try again at once."""
    monkeypatch.setattr(HttpTransport, "sleep", lambda *_: None)


def test_a_service_that_is_away_costs_a_letter_no_try_and_does_not_stop_the_others(
    office: Office, storage: str, no_waiting: None
) -> None:
    path = office.post(job_event("score-1"))
    etag = drop_image(office.clients, "a.jpg", plain_jpeg())
    office.post(image_event("a.jpg", etag=etag))
    crippled = make_clients(without_queues(storage))
    for _ in range(MAX_TRIES + 1):
        office.tick(crippled)
    assert [image.path for image in office.waiting()] == ["a.jpg"]
    assert office.letters() == [path]
    assert office.tries(path) == 0
    office.tick()
    assert office.taken("job-events") == [{"job": "score-1"}]
    assert office.letters() == []


def test_a_letter_that_failed_comes_after_those_that_were_not_tried(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "LETTERS_PER_TICK", 1)
    office.clients.queues.delete_queue("job-events")
    failing = office.post(job_event("score-1"))
    _await_next_second()
    etag = drop_image(office.clients, "a.jpg", plain_jpeg())
    other = office.post(image_event("a.jpg", etag=etag))
    _await_next_second()
    office.tick()
    assert office.letters() == [failing, other], "the oldest first"
    office.tick()
    assert office.letters() == [failing]
    assert [image.path for image in office.waiting()] == ["a.jpg"]


def _await_next_second() -> None:
    """Storage tells when a blob was written in whole seconds."""
    time.sleep(1.05 - time.time() % 1)


@pytest.mark.parametrize("per_letter", [1, 200])
def test_a_tick_does_as_much_as_its_time_allows_and_the_next_one_goes_on(office: Office, per_letter: int) -> None:
    jobs = [f"score-{number}" for number in range(200)]
    for some in itertools.batched(jobs, per_letter):
        office.post(*map(job_event, some))
    put_back = []
    while office.letters():
        # By this clock, each look at it takes two seconds.
        office.tick(now=itertools.count(0, 2).__next__)
        now_put_back = [each["job"] for each in office.taken("job-events")]
        assert 0 < len(now_put_back) < 120
        put_back += now_put_back
    assert sorted(put_back) == sorted(jobs)


def test_a_letter_whose_turn_does_not_come_is_not_touched(office: Office) -> None:
    blob = office.container.get_blob_client(office.post(job_event("score-1")))
    before = blob.get_blob_properties().etag
    office.tick(now=iter([0.0, recovery.TICK_SECONDS]).__next__)
    assert blob.get_blob_properties().etag == before


class Overtaken(Writes):
    """Another worker changes a letter right before this one does."""

    def __init__(self, office: Office, path: str, changed: bytes) -> None:
        super().__init__()
        self._office, self._path, self._changed = office, path, changed

    def write(self, request: Any, send: Callable[[], Any]) -> Any:
        if self._path in request.url:
            self._office.container.upload_blob(self._path, self._changed, overwrite=True)
        return send()


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([job_event("score-1")], id="removed"),
        pytest.param([dead("Unknown", "s", {})], id="given up"),
        pytest.param([job_event("score-1"), dead("Unknown", "s", {})], id="given up in part"),
    ],
)
def test_a_letter_that_another_worker_has_changed_in_between_is_left_to_that_one(
    office: Office, storage: str, events: list[Event]
) -> None:
    path = office.post(*events)
    overtaken = Overtaken(office, path, json.dumps([job_event("score-2")]).encode())
    office.tick(closed_later(UnreliableClients(office.clients.settings, storage, overtaken)))
    assert office.read(path) == [job_event("score-2")]
    assert office.unreturned() == {}


def test_any_number_of_workers_at_once_put_everything_back(office: Office) -> None:
    images = [f"{number}.jpg" for number in range(12)]
    for path in images:
        office.post(image_event(path, etag=drop_image(office.clients, path, plain_jpeg())))
    unknown = [office.post(dead("Unknown", "s", {})) for _ in range(4)]
    start, failures = threading.Barrier(4), list[BaseException]()

    def work() -> None:
        start.wait()
        try:
            office.tick()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(image.path for image in office.waiting()) == sorted(images)
    assert office.letters() == []
    assert sorted(office.unreturned()) == unknown


def test_what_is_no_letter_is_left_alone(office: Office) -> None:
    for path in ("readme.txt", f"{TOPIC}/notes", "unreturned/old.json"):
        office.container.upload_blob(path, b"?", metadata={"reason": "r"})
    office.tick()
    assert office.letters() == [f"{TOPIC}/notes", "readme.txt"]
    assert list(office.unreturned()) == ["old.json"]


def test_before_provisioning_there_is_nothing_to_do_and_nothing_to_complain_about(
    storage: str, caplog: pytest.LogCaptureFixture
) -> None:
    clients = make_clients(storage)
    put_back_dead_letters(clients, Ledger(clients.tables))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


class Round:
    """Letters of all kinds in an account that saw others before, and what must come of them."""

    def __init__(self, office: Office, number: int) -> None:
        self.office = office
        self.image, self.job, self.export = f"{number}.png", f"score-{number}", f"Labeling/export/{number}.json"
        # Not what every loader reads, so that it is converted: one more write.
        drop_image(office.clients, self.image, encoded(PillowImage.new("RGBA", (8, 8), "red"), "PNG"))
        office.exports.upload_blob(self.export, b"{}")
        office.post(image_event(self.image), blob_event(EXPORTS, self.export))
        self.unknown = office.post(job_event(self.job), dead("Unknown", "s", {}))

    def assert_done(self, when: str) -> None:
        office = self.office
        assert [row["state"] for row in office.ledger.history("images", self.image)] == ["waiting"], when
        assert {each["path"] for each in office.taken("label-exports")} == {self.export}, when
        assert {each["job"] for each in office.taken("job-events")} == {self.job}, when
        assert office.letters() == [], when
        assert office.unreturned() == {
            self.unknown: "event 93902694-901e-008f-6f95-7153a806873c: nothing takes events of type 'Unknown'"
        }, when
        assert office.read(f"unreturned/{self.unknown}") == [dead("Unknown", "s", {})], when
        office.container.delete_blob(f"unreturned/{self.unknown}")


# The converted image, the ledger, a message, the letter; then a message, what is given up, its copy, the letter.
WRITES = 8


def test_killed_before_any_of_its_writes_a_tick_leaves_what_the_next_one_finishes(office: Office, storage: str) -> None:
    for number in itertools.count(1):
        this = Round(office, number)
        writes = KilledAt(number)
        doomed = closed_later(UnreliableClients(office.clients.settings, storage, writes))
        with contextlib.suppress(ProcessKilled):
            office.tick(doomed)
        if writes.killed:
            assert office.letters(), f"killed at write {number}"
        office.tick()
        this.assert_done(f"killed at write {number}")
        if not writes.killed:
            break
    assert number > WRITES


def test_when_the_answer_to_any_of_its_writes_is_lost_this_tick_or_the_next_one_finishes(
    office: Office, storage: str
) -> None:
    for number in itertools.count(1):
        this = Round(office, number)
        writes = AnswerLostAt(number)
        robbed = closed_later(UnreliableClients(office.clients.settings, storage, writes))
        office.tick(robbed)
        office.tick()
        this.assert_done(f"answer of write {number} lost")
        if writes.count < number:
            break
    assert number > WRITES
