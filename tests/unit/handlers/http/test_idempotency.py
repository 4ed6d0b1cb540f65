"""Idempotency-Key, on real storage."""

from __future__ import annotations

import datetime as dt

import azure.functions as func
import msgspec
import pytest
from azure.storage.blob import ContainerClient

from handlers.http import idempotency
from handlers.http.idempotency import Record, once
from handlers.http.problems import HttpError
from handlers.http.reading import IDEMPOTENCY_KEY
from shared.clients import Clients
from shared.errors import InvalidRequestError
from shared.request_notes import FOLDER, Note, delete_old_notes
from tests.unit.handlers.support import body_of, request

KEY = "7a4e"


class Work:
    """What is to be done once; it answers with how often it was."""

    def __init__(self, status: int = 202) -> None:
        self.times = 0
        self.status = status

    def __call__(self) -> func.HttpResponse:
        self.times += 1
        return func.HttpResponse(
            f'{{"times": {self.times}}}',
            status_code=self.status,
            mimetype="application/json",
            headers={"Location": "/x"},
        )


def asked(body: bytes = b"{}", key: str = KEY) -> func.HttpRequest:
    return request("POST", "/api/train", body=body, headers={IDEMPOTENCY_KEY: key})


def records(clients: Clients) -> ContainerClient:
    return clients.blobs.get_container_client(clients.settings.work_container)


def names(clients: Clients) -> list[str]:
    return list(records(clients).list_blob_names(name_starts_with=FOLDER))


def test_the_same_request_again_is_answered_as_the_first_time(clients: Clients) -> None:
    work = Work()
    first, again = (once(clients, asked(), "train", work) for _ in range(2))
    assert work.times == 1
    assert body_of(again) == body_of(first) == {"times": 1}
    assert (again.status_code, again.mimetype, again.headers["Location"]) == (202, "application/json", "/x")
    assert again.headers["Idempotency-Replayed"] == "true"


def test_another_request_with_the_same_key_is_refused(clients: Clients) -> None:
    work = Work()
    once(clients, asked(), "train", work)
    with pytest.raises(HttpError, match="stood for another request") as refusal:
        once(clients, asked(b'{"export": "a"}'), "train", work)
    assert (refusal.value.kind.status, refusal.value.field) == (422, IDEMPOTENCY_KEY)


def test_a_key_is_good_for_one_function_and_caller(clients: Clients) -> None:
    work = Work()
    once(clients, asked(), "train\nada", work)
    once(clients, asked(), "train\nbob", work)
    assert work.times == 2


def test_while_it_is_carried_out_the_same_is_told_to_wait(clients: Clients) -> None:
    def work() -> func.HttpResponse:
        with pytest.raises(HttpError) as refusal:
            once(clients, asked(), "train", Work())
        assert refusal.value.kind.status == 409
        assert int(refusal.value.headers["Retry-After"]) > 0
        return Work()()

    once(clients, asked(), "train", work)


@pytest.mark.parametrize("status", [400, 409, 503])
def test_after_a_refusal_the_same_key_may_be_tried_again(clients: Clients, status: int) -> None:
    once(clients, asked(), "train", Work(status))
    work = Work()
    assert once(clients, asked(), "train", work).status_code == 202
    assert work.times == 1


def test_after_an_error_the_same_key_may_be_tried_again(clients: Clients) -> None:
    def fail() -> func.HttpResponse:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        once(clients, asked(), "train", fail)
    assert once(clients, asked(), "train", Work()).status_code == 202


def age(clients: Clients, by: dt.timedelta) -> None:
    """Let a note have begun earlier."""
    (name,) = names(clients)
    blob = records(clients).get_blob_client(name)
    record = msgspec.json.decode(blob.download_blob().readall(), type=Record)
    record.begun -= by
    blob.upload_blob(msgspec.json.encode(record), overwrite=True)


class Killed(BaseException):
    pass


def test_what_a_killed_worker_left_is_taken_over_when_nobody_can_wait_any_more(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed() -> func.HttpResponse:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Note, "delete", lambda _: None)
        with pytest.raises(Killed):
            once(clients, asked(), "train", killed)
    with pytest.raises(HttpError):
        once(clients, asked(), "train", Work())
    age(clients, idempotency.LEASE)
    work = Work()
    assert once(clients, asked(), "train", work).status_code == 202
    assert once(clients, asked(), "train", work).status_code == 202
    assert work.times == 1


def test_a_worker_that_was_thought_dead_does_not_write_over_who_took_over(clients: Clients) -> None:
    def slow() -> func.HttpResponse:
        age(clients, idempotency.LEASE)
        once(clients, asked(), "train", Work(201))
        return Work(202)()

    assert once(clients, asked(), "train", slow).status_code == 202
    assert once(clients, asked(), "train", Work()).status_code == 201


def test_an_answer_is_forgotten_after_a_day(clients: Clients) -> None:
    work = Work()
    once(clients, asked(), "train", work)
    age(clients, idempotency.KEPT)
    once(clients, asked(b"another"), "train", work)
    assert work.times == 2


def test_what_has_expired_is_deleted_along_the_way(clients: Clients) -> None:
    once(clients, asked(), "train", Work())
    (old,) = names(clients)
    name = old.rpartition("/")[2]
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    delete_old_notes(clients, name, soon - dt.timedelta(hours=1))
    delete_old_notes(clients, f"zz{name}", soon)
    assert names(clients) == [old]
    delete_old_notes(clients, name, soon)
    assert names(clients) == []


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_is_none_is_refused(clients: Clients, key: str) -> None:
    with pytest.raises(InvalidRequestError, match="1 to 255"):
        once(clients, asked(key=key), "train", Work())
