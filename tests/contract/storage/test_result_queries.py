"""What batches came to, asked for page by page, and image by image, on real storage."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from shared.errors import InvalidRequestError
from shared.predictions import FORMATS, columns
from shared.results import listing, pages, sealed_results, write_files
from shared.results.images import ImageResult, Wanted, image_result, latest_images
from shared.results.listing import Position, TimeRange
from shared.results.pages import predictions_page
from tests.contract.storage.scored import FAILED, LABELS, NO_IMAGE, NOON, Account, image
from tests.contract.storage.unreliable import UnreliableClients, Writes
from tests.support import closed_later


@pytest.fixture(scope="module")
def filled(azurite: Callable[[], str]) -> str:
    """The connection string of an account with three batches."""
    connection_string = azurite()
    made = Account(connection_string).prepare()
    made.done([image("2026/a.jpg"), image("2026/b.jpg")], {"2026/a.jpg": {}, "2026/b.jpg": FAILED})
    green = {"labels": ("green", "red"), "probabilities": (0.6, 0.8, 0.1)}
    made.done(
        [image(f"2027/{n:02}.jpg") for n in range(40)],
        {f"2027/{n:02}.jpg": green if n % 10 == 0 else {} for n in range(39)},
        created=NOON + dt.timedelta(hours=1),
    )
    made.done(
        [image("new.jpg"), image("no-image.jpg", error="not an image")],
        {
            "new.jpg": {"labels": ("pink",), "probabilities": (0.7,)},
            "no-image.jpg": NO_IMAGE,
        },
        created=NOON + dt.timedelta(hours=2),
        version="2",
        labels=("pink",),
    )
    return connection_string


@pytest.fixture
def account(filled: str) -> Account:
    """Batches that tests only look at."""
    return Account(filled)


@pytest.fixture
def fresh(storage: str) -> Account:
    return Account(storage).prepare()


# Pages of rows


def read_pages(account: Account, suffix: str, **options: Any) -> tuple[list[list[str]], list[str]]:
    """The columns of each page, and the images of all."""
    headers, images, begin = [], [], None
    while True:
        page = predictions_page(account.clients, account.ledger, suffix, begin=begin, **options)
        assert page.content_type == FORMATS[suffix].content_type
        frame = READERS[suffix](io.BytesIO(page.content))
        assert len(frame) == page.rows
        headers.append(list(frame.columns))
        images += list(frame["image"]) if page.rows else []
        begin = page.next
        if begin is None:
            return headers, images


READERS: dict[str, Callable[[io.BytesIO], Any]] = {
    "csv": pd.read_csv,
    "jsonl": lambda file: pd.read_json(file, lines=True),
    "parquet": pd.read_parquet,
}


@pytest.mark.parametrize("suffix", FORMATS)
def test_all_rows_come_once_newest_batch_first_and_a_page_has_one_set_of_columns(account: Account, suffix: str) -> None:
    headers, images = read_pages(account, suffix)
    assert headers == [columns(("pink",)), columns(LABELS)]
    assert len(images) == len(set(images)) == 2 + 39 + 2
    assert set(images[:2]) == {"new.jpg", "no-image.jpg"}
    assert set(images[-2:]) == {"2026/a.jpg", "2026/b.jpg"}


@pytest.mark.parametrize("size", [7, 39, 40])
def test_pages_of_any_size_have_all_rows_once(account: Account, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(pages, "PAGE_ROWS", size)
    headers, images = read_pages(account, "csv")
    assert len(images) == len(set(images)) == 43
    assert len(headers) >= 43 / size


def test_an_answer_takes_a_bounded_number_of_reads(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_SHARDS", 2)
    headers, images = read_pages(account, "csv", label="green")
    assert sorted(images) == [f"2027/{n}0.jpg" for n in range(4)]
    assert len(headers) > 2


@pytest.mark.parametrize(
    ("since", "until", "rows"),
    [
        (NOON, None, 43),
        (NOON + dt.timedelta(microseconds=1), None, 41),
        (NOON + dt.timedelta(hours=1), NOON + dt.timedelta(hours=2), 39),
        (None, NOON + dt.timedelta(hours=1), 2),
        (None, NOON + dt.timedelta(microseconds=1), 2),
        (None, NOON, 0),
        (NOON, NOON, 0),
        (NOON.astimezone(dt.timezone(dt.timedelta(hours=9))), NOON + dt.timedelta(minutes=1), 2),
    ],
)
def test_a_time_range_begins_at_its_first_moment_and_ends_before_its_last(
    account: Account, since: dt.datetime | None, until: dt.datetime | None, rows: int
) -> None:
    _, images = read_pages(account, "csv", made=TimeRange(since, until))
    assert len(images) == rows


def test_a_moment_that_can_not_be_compared_is_refused(account: Account) -> None:
    last = TimeRange(until=dt.datetime.max.replace(tzinfo=dt.UTC))
    with pytest.raises(InvalidRequestError, match="too far away"):
        predictions_page(account.clients, account.ledger, "csv", made=last)


@pytest.mark.parametrize("batch", ["20200101-000000-ab12", "a/b", "", "x" * 2000, "../x"])
def test_a_cursor_into_nothing_is_refused(account: Account, batch: str) -> None:
    with pytest.raises(InvalidRequestError, match="begin anew"):
        predictions_page(account.clients, account.ledger, "csv", begin=Position(batch, 0, 0))


def test_a_batch_under_way_has_no_rows_yet(fresh: Account) -> None:
    batch = fresh.batch([image("a.jpg")], {"a.jpg": {}})
    write_files(fresh.clients, batch, job_error="")
    assert read_pages(fresh, "csv")[1] == []
    with pytest.raises(InvalidRequestError, match="begin anew"):
        predictions_page(fresh.clients, fresh.ledger, "csv", begin=Position(batch.id, 0, 0))


def test_batches_whose_results_were_deleted_are_left_out(fresh: Account) -> None:
    for hours in range(3):
        batch = fresh.done([image(f"{hours}.jpg")], {f"{hours}.jpg": {}}, created=NOON + dt.timedelta(hours=hours))
        if hours == 1:
            container = fresh.clients.blobs.get_container_client("labelloop")
            for name in list(container.list_blob_names(name_starts_with=batch.folder)):
                container.delete_blob(name)
    assert read_pages(fresh, "csv")[1] == ["2.jpg", "0.jpg"]


# Images


def listed(account: Account, wanted: Wanted, limit: int = 10) -> list[ImageResult]:
    found, begin = [], None
    while True:
        images, begin = latest_images(account.clients, account.ledger, wanted, limit=limit, begin=begin)
        assert len(images) <= limit
        found += images
        if begin is None:
            return found


def test_images_are_listed_newest_batch_first_with_all_that_is_known(account: Account) -> None:
    found = listed(account, Wanted())
    assert len(found) == 43
    assert {each.path for each in found[:2]} == {"new.jpg", "no-image.jpg"}
    (new,) = (each for each in found if each.path == "new.jpg")
    assert new.probabilities == {"pink": 0.7}
    assert (new.state, new.etag, new.model, new.labels) == ("scored", "0x1", "multilabel:2", ("pink",))
    assert new.file == f"2026/11/24/{new.batch}.csv"
    (bad,) = (each for each in found if each.path == "2026/b.jpg")
    assert (bad.state, bad.probabilities, bad.error) == ("failed", {}, FAILED["error"])


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (Wanted(states=("rejected",)), 1),
        (Wanted(states=("failed", "rejected")), 2),
        (Wanted(label="green"), 4),
        (Wanted(label="no-label"), 0),
        (Wanted(label="green", min_probability=0.2), 40),
        (Wanted(label="green", min_probability=0.8), 4),
        (Wanted(min_probability=0.85), 36),
        (Wanted(prefix="2027/0"), 10),
        (Wanted(prefix="2027/", made=TimeRange(until=NOON + dt.timedelta(hours=1))), 0),
    ],
)
def test_images_can_be_asked_for_by_state_label_probability_and_path(
    account: Account, wanted: Wanted, count: int
) -> None:
    assert len(listed(account, wanted)) == count


def test_a_list_of_images_takes_a_bounded_number_of_reads(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_SHARDS", 1)
    images, begin = latest_images(account.clients, account.ledger, Wanted(prefix="2026/"), limit=10)
    assert images == []
    assert begin is not None
    assert len(listed(account, Wanted(prefix="2026/"))) == 2


def test_one_image_is_found_in_its_batch_by_its_key(account: Account) -> None:
    (batch,) = account.ledger.done_batches(1, before="20261124-133000")
    found = image_result(account.clients, account.ledger, batch.id, image("2027/30.jpg").key)
    assert found is not None
    assert (found.path, found.labels) == ("2027/30.jpg", ("green", "red"))
    assert list(found.probabilities) == list(LABELS)
    unknown = (image("2027/39.jpg").key, image("elsewhere.jpg").key)
    assert [image_result(account.clients, account.ledger, batch.id, key) for key in unknown] == [None, None]
    assert image_result(account.clients, account.ledger, "20200101-000000-ab12", unknown[0]) is None


def test_a_lookup_reads_one_shard_of_many(account: Account) -> None:
    (batch,) = account.ledger.done_batches(1, before="20261124-133000")
    assert batch.shards > 1
    reads = Reads()
    clients = closed_later(UnreliableClients(account.settings, account.storage, reads))
    assert sealed_results(clients, batch).find(image("2027/30.jpg").key) is not None
    assert reads.count == 2


class Reads(Writes):
    """Counts reads instead."""

    def send(self, request: Any, send: Callable[[], Any]) -> Any:
        self.count += 1
        return send()
