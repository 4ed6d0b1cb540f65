"""Data sets and export reports in real storage: what is listed, read, kept, written and found again."""

from __future__ import annotations

import contextlib
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from azure.storage.blob import BlobServiceClient
from PIL import Image

from shared.clients import Clients
from shared.datasets import (
    SPLITS,
    BlobImages,
    DataSet,
    DataSetOptions,
    Findings,
    build_data_set,
    export_id,
    get_export,
    get_export_page,
    kept,
    list_exports,
    make_report,
    storage,
    write_data_set,
    write_report,
)
from shared.datasets.facts import Remembered
from shared.datasets.kept import ROW, KeptSignatures
from shared.datasets.signatures import Signature, signature_of
from shared.errors import NotFoundError
from shared.labels import LabelledImage
from shared.locations import Datastores
from tests.support import encoded, make_clients

PHOTOGRAPHS = Path(__file__).resolve().parents[4] / "shared" / "data" / "aquarium"
STORES = Datastores({"photos": "photos"}, "S", "R", "W")
OPTIONS = DataSetOptions(min_images_per_label=1)


@pytest.fixture
def clients(storage: str) -> Clients:
    clients = make_clients(storage)
    for container in ("photos", "labelloop"):
        clients.blobs.create_container(container)
    return clients


@pytest.fixture
def blobs(clients: Clients) -> BlobServiceClient:
    return clients.blobs


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the files that were downloaded to be looked at."""
    sizes: list[int] = []

    def noting(content: bytes) -> Signature:
        sizes.append(len(content))
        return signature_of(content)

    monkeypatch.setattr(storage, "signature_of", noting)
    return sizes


def noise(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels).resize((90, 80), Image.Resampling.NEAREST), quality=95)


def upload(blobs: BlobServiceClient, paths: list[str], *, seed: int = 0) -> list[LabelledImage]:
    for number, path in enumerate(paths, seed):
        blobs.get_blob_client("photos", path).upload_blob(noise(number), overwrite=True)
    return [image(path, *("a", "b")[: 1 + number % 2]) for number, path in enumerate(paths)]


def image(path: str, *labels: str) -> LabelledImage:
    return LabelledImage(f"AmlDatastore://photos/{path}", labels)


def make(
    blobs: BlobServiceClient, images: list[LabelledImage], findings: Findings | None = None, **options: Any
) -> DataSet:
    return build_data_set(
        images,
        "photos/e.csv",
        STORES,
        "https://acct.blob.core.windows.net",
        DataSetOptions(**{"min_images_per_label": 1, **options}),
        findings or Findings(),
        store=BlobImages(blobs, "labelloop"),
    )


def side_of(data_set: DataSet) -> dict[str, str]:
    return {example.location.path: name for name in SPLITS for example in data_set.splits[name]}


@pytest.mark.parametrize("max_folders", [1000, 3])
def test_images_are_found_in_their_folders_and_others_there_are_passed_by(
    blobs: BlobServiceClient, monkeypatch: pytest.MonkeyPatch, max_folders: int
) -> None:
    monkeypatch.setattr(storage, "MAX_FOLDERS", max_folders)
    monkeypatch.setattr(storage, "PAGE_SIZE", 7)
    images = upload(blobs, [f"in/{folder}/{letter}.jpg" for folder in "uvwxy" for letter in "abcde"])
    upload(blobs, ["in/u/deeper/a.jpg", "in/u/not labelled.jpg", "out/a.jpg"])
    lost = [image("in/u/gone.jpg", "a"), image("in/z/gone.jpg", "a")]
    findings = Findings()
    data_set = make(blobs, [*images, *lost], findings)
    assert len(side_of(data_set)) == 25
    assert findings.figures["listed"] == (26 if max_folders == 1000 else 27)
    (warning,) = (each for each in data_set.warnings if "do not exist" in each)
    assert warning == "2 images are left out, since they do not exist: photos/in/u/gone.jpg, photos/in/z/gone.jpg"


def test_images_of_a_container_that_does_not_exist_are_missing(blobs: BlobServiceClient) -> None:
    images = upload(blobs, [f"{letter}.jpg" for letter in "abcdefghijklmnopqrstuvwxyz"])
    stores = Datastores({"photos": "photos", "gone": "gone"}, "S", "R", "W")
    images.append(LabelledImage("AmlDatastore://gone/a.jpg", ("a",)))
    store = BlobImages(blobs, "labelloop")
    made = build_data_set(images, "e", stores, "https://a.example", OPTIONS, Findings(), store=store)
    assert "1 images are left out, since they do not exist: gone/a.jpg" in made.warnings


def test_beyond_so_many_requests_images_are_taken_for_there_and_that_is_told(
    blobs: BlobServiceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = upload(blobs, [f"{letter}.jpg" for letter in "abcdefghijklmnopqrstuvwxyz"])
    monkeypatch.setattr(storage, "PAGE_SIZE", 10)
    monkeypatch.setattr(storage, "MAX_REQUESTS", 2)
    data_set = make(blobs, images)
    assert len(side_of(data_set)) == 26
    assert any(
        each.startswith("6 images were not looked for, since their folders hold more blobs than 2 requests list")
        for each in data_set.warnings
    )
    monkeypatch.setattr(storage, "MAX_REQUESTS", 3)
    assert make(blobs, images).warnings == ()


def test_a_folder_is_listed_no_further_than_until_all_images_are_found(
    blobs: BlobServiceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = upload(blobs, [f"{letter}.jpg" for letter in "abcdefghijklmnopqrst"])
    upload(blobs, [f"x{number}.jpg" for number in range(15)])
    monkeypatch.setattr(storage, "PAGE_SIZE", 10)
    findings = Findings()
    make(blobs, images, findings)
    assert findings.figures["listed"] == 20


def test_only_images_that_are_new_or_changed_are_downloaded_by_the_next_export(
    blobs: BlobServiceClient, read: list[int]
) -> None:
    images = upload(blobs, [f"{letter}.jpg" for letter in "abcdefghijklmnopqrst"])
    first = make(blobs, images)
    assert len(read) == 20
    example = first.splits["train"][0]
    assert (example.width, example.height) == (90, 80), "sizes as the file has them, since the export has none"
    read.clear()
    assert make(blobs, images).id == first.id
    assert read == []
    upload(blobs, ["a.jpg"], seed=100)
    more = upload(blobs, ["u.jpg"], seed=101)
    later = make(blobs, [*images, *more])
    assert len(read) == 2
    assert all(side_of(later)[path] == side for path, side in side_of(first).items())


def test_no_more_images_than_are_allowed_are_downloaded_and_the_next_export_goes_on(
    blobs: BlobServiceClient, read: list[int]
) -> None:
    images = upload(blobs, [f"{letter}.jpg" for letter in "abcdefghijklmnopqrst"])
    findings = Findings()
    make(blobs, images, findings, max_read_images=15)
    assert (len(read), findings.figures["compared"]) == (15, {"images": 20, "read": 15})
    assert any(each.startswith("5 of 20 images were not compared") for each in findings.texts("note"))
    make(blobs, images, max_read_images=15)
    assert len(read) == 20


def test_what_is_kept_of_images_is_merged_in_pieces_and_read_in_ranges(
    blobs: BlobServiceClient, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_PIECE", 7)
    images = upload(blobs, [f"{letter}.jpg" for letter in "abcdefghijklmnopqrstuvwxyz"])
    make(blobs, images[:20])
    upload(blobs, ["c.jpg", "d.jpg"], seed=200)
    make(blobs, images)
    assert len(read) == 28
    content = blobs.get_blob_client("labelloop", storage.SIGNATURES).download_blob().readall()
    rows = np.load(io.BytesIO(content))
    assert len(rows) == 26
    assert (np.diff(rows["digest"]) > 0).all(), "sorted, each image once"
    first = make(blobs, images)
    assert len(read) == 28
    assert first.splits["train"][0].width == 90


def test_what_is_kept_by_another_version_or_is_damaged_is_found_out_again(
    blobs: BlobServiceClient, read: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    images = upload(blobs, [f"{letter}.jpg" for letter in "abcdefghijklmnopqrst"])
    stored = blobs.get_blob_client("labelloop", storage.SIGNATURES)
    older = io.BytesIO()
    np.save(older, np.zeros(3, np.dtype([("digest", "<u8")])))
    make(blobs, images)
    whole = stored.download_blob().readall()
    for number, content in enumerate((older.getvalue(), whole[:-1], b"", b"no array" * 50), 2):
        stored.upload_blob(content, overwrite=True)
        make(blobs, images)
        assert len(read) == number * 20
        assert stored.download_blob().readall() == whole
    assert sum("is no NumPy array" in record.message for record in caplog.records) == 2


def test_what_changes_while_it_is_read_is_read_again(blobs: BlobServiceClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_PIECE", 2)
    blob = blobs.get_blob_client("labelloop", "rows")
    rows = np.zeros(5, ROW)
    rows["digest"] = np.arange(5)
    with contextlib.closing(KeptSignatures(blob)) as empty:
        assert len(empty) == 0
        empty.add(rows[:4])
    read_range, calls = blob.download_blob, 0

    def changing(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            with contextlib.closing(KeptSignatures(blobs.get_blob_client("labelloop", "rows"))) as other:
                other.add(rows[4:])
        return read_range(*arguments, **options)

    monkeypatch.setattr(blob, "download_blob", changing)
    with contextlib.closing(KeptSignatures(blob)) as found:
        assert [digest for piece in found.pieces() for digest in piece["digest"].tolist()] == [0, 1, 2, 3, 4]


def test_damaged_images_are_left_out_then_and_later(blobs: BlobServiceClient, read: list[int]) -> None:
    images = upload(blobs, [f"{letter}.jpg" for letter in "abcdefghijklmnopqrst"])
    blobs.get_blob_client("photos", "c.jpg").upload_blob(noise(2)[:900], overwrite=True)
    blobs.get_blob_client("photos", "d.jpg").upload_blob(b"no image", overwrite=True)
    told = "2 images are left out, since they can't be read"
    assert any(each.startswith(told) and "c.jpg is damaged" in each for each in make(blobs, images).warnings)
    read.clear()
    assert any(each.startswith(told) for each in make(blobs, images).warnings)
    assert read == []


def test_two_exports_at_once_do_not_overwrite_each_others_sides(blobs: BlobServiceClient) -> None:
    store = BlobImages(blobs, "labelloop")
    one, other = store.recall(OPTIONS), store.recall(OPTIONS)
    assert store.remember(OPTIONS, one.with_sides(np.array([7], np.uint64), np.array([2], np.uint8)))
    assert not store.remember(OPTIONS, other.with_sides(np.array([8], np.uint64), np.array([1], np.uint8)))
    again, late = store.recall(OPTIONS), store.recall(OPTIONS)
    assert store.remember(OPTIONS, again.with_sides(np.array([8], np.uint64), np.array([1], np.uint8)))
    assert not store.remember(OPTIONS, late)
    assert store.recall(OPTIONS).of(np.array([7, 8, 9], np.uint64)).tolist() == [2, 1, -1]
    assert len(store.recall(DataSetOptions(random_seed=2)).digests) == 0
    assert isinstance(again, Remembered)


def test_a_data_set_is_written_as_json_lines_with_an_mltable_for_each_split(blobs: BlobServiceClient) -> None:
    data_set = make(blobs, upload(blobs, [f"{letter} é.jpg" for letter in "abcdefghijklmnopqrst"]))
    for _ in range(2):
        write_data_set(blobs, data_set, STORES, "labelloop")
    for name, examples in data_set.splits.items():
        folder = f"{data_set.folder}/{name}/"
        lines = blobs.get_blob_client("labelloop", f"{folder}{name}.jsonl").download_blob().readall().splitlines()
        rows = [json.loads(line) for line in lines]
        assert [row["label"] for row in rows] == [list(example.labels) for example in examples]
        assert rows[0]["image_url"].endswith(f"/datastores/photos/paths/{examples[0].location.path}")
        assert rows[0]["image_details"] == {"format": "jpg", "width": "90px", "height": "80px"}
        table = blobs.get_blob_client("labelloop", f"{folder}MLTable").download_blob().readall().decode()
        assert f"file: ./{name}.jsonl" in table


def test_bursts_of_photographs_are_on_one_side_and_stay_there_as_the_export_grows(blobs: BlobServiceClient) -> None:
    if not PHOTOGRAPHS.is_dir():
        pytest.skip("the aquarium photographs are not here")
    rows = [json.loads(line) for line in (PHOTOGRAPHS / "labels.jsonl").read_text().splitlines()]
    images = []
    for row in rows:
        blobs.get_blob_client("photos", row["image"]).upload_blob((PHOTOGRAPHS / row["image"]).read_bytes())
        images.append(image(row["image"], *row["labels"]))
    findings = Findings()
    half = side_of(make(blobs, images[::2], min_images_per_label=5))
    all_images = make(blobs, images, findings)
    side = side_of(all_images)
    assert len(side) == 160
    for burst in ((2538, 2539), (2542, 2543), (2619, 2620), (2493, 2494), (2313, 2314, 2315)):
        assert len({side[f"images/IMG_{number}_jpeg.jpg"] for number in burst}) == 1
    assert all(side[path] == "test" for path, name in half.items() if name == "test")
    assert 100 <= len(all_images.splits["train"]) <= 140
    assert all(min(counts.values()) >= 1 for counts in findings.figures["labels"].values())
    assert findings.figures["formats"] == {"JPEG": 160}


def test_reports_are_listed_newest_first_without_being_read_and_found_by_id(blobs: BlobServiceClient) -> None:
    assert list_exports(blobs, "labelloop") == []
    findings = Findings()
    make(blobs, upload(blobs, [f"{letter}.jpg" for letter in "abcdefghijklmnopqrst"]), findings)
    names = [f"photos/Labeling/export/{letter} ü%" + "/x" * 2000 for letter in "ab"]
    for name in names:
        write_report(blobs, "labelloop", make_report(name, findings, state="training", job="train-1"))
        time.sleep(1.1)  # Storage's times have no fractions of seconds.
    listed = list_exports(blobs, "labelloop")
    assert [each["id"] for each in listed] == [export_id(name) for name in reversed(names)]
    assert listed[0]["export"].startswith("photos/Labeling/export/b ü%/x")
    assert (listed[0]["state"], listed[0]["images"], listed[0]["labels"]) == ("training", 20, 2)
    assert len(list_exports(blobs, "labelloop", limit=1)) == 1
    report = get_export(blobs, "labelloop", export_id(names[0]))
    assert (report["export"], report["job"]) == (names[0], "train-1")
    write_report(blobs, "labelloop", {**report, "state": "trained"})
    assert get_export(blobs, "labelloop", report["id"])["state"] == "trained"
    assert list_exports(blobs, "labelloop")[0]["state"] == "trained"
    assert b"trained" in get_export_page(blobs, "labelloop", report["id"])


@pytest.mark.parametrize("name", ["", "0123456789abcdef", "../../datasets", "0123456789ABCDEF"])
def test_a_report_that_is_not_there_is_not_found(blobs: BlobServiceClient, name: str) -> None:
    with pytest.raises(NotFoundError, match="there is no label export"):
        get_export(blobs, "labelloop", name)


def test_without_a_work_container_there_are_no_exports(clients: Clients) -> None:
    assert list_exports(clients.blobs, "nowhere") == []
