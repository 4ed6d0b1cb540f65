"""Exports of several files: out of order, late, with gaps; and what of a folder belongs together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.storage.blob import ContainerClient

from shared.clients import Clients
from shared.jobs import list_jobs
from shared.training import LandedExport, announce_export, train_on_export
from shared.training.exports import find_export
from shared.training.starting import MAX_WAITS
from tests.contract.cloud_client.conftest import coco
from tests.contract.cloud_client.exporting import (
    QUEUE,
    cancel_jobs,
    deliver,
    jsonl,
    landed,
    new_folder,
    report_on,
    upload_pictures,
    use_own_queue,
)
from tests.contract.local_stack import MakeClients

pytestmark = pytest.mark.usefixtures("idle_nodes")


@pytest.fixture
def clients(make: MakeClients, provisioned: None) -> Clients:
    return make(min_images_per_label=3, export_quiet_seconds=0, min_new_labels=0)


@pytest.fixture
def labels(default_container: ContainerClient) -> dict[str, list[str]]:
    return upload_pictures(default_container, 8)


@pytest.fixture(autouse=True)
def _nothing_goes_on_training(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    use_own_queue(clients, monkeypatch)
    yield
    cancel_jobs(clients)


def halves(labels: dict[str, list[str]]) -> tuple[bytes, bytes]:
    items = list(labels.items())
    return jsonl(dict(items[::2])), jsonl(dict(items[1::2]))


def trainings(clients: Clients) -> set[str]:
    return {job["name"] for job in list_jobs(clients, kind="training", limit=200)}


def test_shards_that_come_out_of_order_and_late_are_one_export_and_one_training(
    clients: Clients, default_container: ContainerClient, labels: dict[str, list[str]]
) -> None:
    folder, (first, second) = new_folder(), halves(labels)
    before = trainings(clients)
    early = landed(default_container, f"{folder}labeledDatapoints_2.jsonl", second)
    name = f"{early.container}/{folder}"
    assert train_on_export(clients, early).state == "incomplete"
    told = report_on(clients, name)
    assert (told["state"], told["job"]) == ("incomplete", "")
    assert "labeledDatapoints_1.jsonl" in told["problems"][0]
    assert trainings(clients) == before
    late = landed(default_container, f"{folder}labeledDatapoints_1.jsonl", first)
    announce_export(clients, late)
    assert deliver(clients) >= 2, "the event of each shard, and the look again for the missing one"
    told = report_on(clients, name)
    assert told["state"] == "training"
    assert sum(told["images"].values()) == 24
    assert told["files"] == [f"{folder}labeledDatapoints_{number}.jsonl" for number in (1, 2)]
    assert trainings(clients) - before == {told["job"]}


def test_a_gap_that_stays_is_refused_with_what_is_missing(
    clients: Clients, default_container: ContainerClient, labels: dict[str, list[str]]
) -> None:
    folder, (first, second) = new_folder(), halves(labels)
    landed(default_container, f"{folder}labeledDatapoints_1.jsonl", first)
    last = landed(default_container, f"{folder}labeledDatapoints_3.jsonl", second)
    given_up = LandedExport(last.container, last.path, last.etag, waits=MAX_WAITS)
    outcome = train_on_export(clients, given_up)
    assert (outcome.state, outcome.job) == ("refused", "")
    assert "labeledDatapoints_2.jsonl" in outcome.problems[0]
    assert report_on(clients, outcome.export)["problems"] == list(outcome.problems)
    assert (clients.queue(QUEUE).get_queue_properties().approximate_message_count or 0) == 0


def test_a_folder_is_left_alone_until_its_last_file_has_been_quiet(
    make: MakeClients, provisioned: None, default_container: ContainerClient, labels: dict[str, list[str]]
) -> None:
    clients = make(export_quiet_seconds=300)
    folder, (first, second) = new_folder(), halves(labels)
    one = landed(default_container, f"{folder}labeledDatapoints_1.jsonl", first)
    landed(default_container, f"{folder}labeledDatapoints_2.jsonl", second)
    assert train_on_export(clients, one).state == "landing"


def test_the_same_files_again_are_not_read_again(
    clients: Clients, default_container: ContainerClient, labels: dict[str, list[str]]
) -> None:
    folder, (first, second) = new_folder(), halves(labels)
    one = landed(default_container, f"{folder}labeledDatapoints_1.jsonl", first)
    other = landed(default_container, f"{folder}labeledDatapoints_2.jsonl", second)
    started = train_on_export(clients, one)
    assert started.created or started.job
    blob = clients.blobs.get_container_client("labelloop")
    path = f"exports/{report_on(clients, started.export)['id']}/report.json"
    before = blob.get_blob_client(path).get_blob_properties().etag
    again = train_on_export(clients, other)
    assert (again.job, again.created) == (started.job, False)
    assert blob.get_blob_client(path).get_blob_properties().etag == before


def test_a_file_that_changes_while_it_is_read_is_looked_at_again(
    clients: Clients,
    default_container: ContainerClient,
    labels: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = new_folder()
    one = landed(default_container, f"{folder}labels.csv", b"Url,Label\nAmlDatastore://workspaceblobstore/a.jpg,a\n")
    found = find_export(clients, one)
    landed(default_container, f"{folder}labels.csv", jsonl(labels))
    answers = iter([found])
    monkeypatch.setattr(
        "shared.training.starting.find_export", lambda *given: next(answers, None) or find_export(*given)
    )
    assert train_on_export(clients, one).state == "landing"
    assert deliver(clients) == 1
    assert report_on(clients, f"{one.container}/{folder}")["state"] == "training"


def test_too_many_files_beside_an_mltable_are_refused_in_a_report_and_images_do_not_count(
    clients: Clients,
    default_container: ContainerClient,
    labels: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.training.listing.MAX_FILES", 3)
    folder = new_folder()
    landed(default_container, f"{folder}part.jsonl", jsonl(labels))
    for number in range(9):
        default_container.upload_blob(f"{folder}images/{number}.JPG", b"")
    table = landed(default_container, f"{folder}MLTable", b"paths:\n  - file: ./part.jsonl\n")
    found = find_export(clients, table)
    assert found is not None
    assert sorted(found.files) == [f"{folder}MLTable", f"{folder}part.jsonl"]
    for number in range(9):
        default_container.upload_blob(f"{folder}more/{number}.json", b"")
    outcome = train_on_export(clients, table)
    assert (outcome.state, outcome.problems) == ("refused", ("has more than 3 files",))
    told = report_on(clients, f"{table.container}/{folder}")
    assert (told["state"], told["what_to_do"]) == ("refused", ["keep the label files in a folder of their own"])


@pytest.mark.parametrize(
    ("folder", "files", "asked", "name", "chosen"),
    [
        ("Labeling/export/coco/", ["c1.json", "c2.json"], "c1.json", "c1.json", ["c1.json"]),
        ("Labeling/export/csv/", ["c1.csv", "c2.csv"], "c2.csv", "c2.csv", ["c2.csv"]),
        ("Labeling/export/csv/", ["labeledDatapoints_1.jsonl", "c3.csv"], "labeledDatapoints_1.jsonl", "", None),
        ("of its own/a/", ["one.json", "two.json"], "two.json", "two.json", ["two.json"]),
        ("of its own/b/", ["one.csv", "two.csv"], "two.csv", "", ["one.csv", "two.csv"]),
        ("of its own/c/", ["MLTable", "x/part.jsonl", "more.jsonl"], "MLTable", "", None),
    ],
)
def test_what_belongs_together(
    clients: Clients,
    default_container: ContainerClient,
    folder: str,
    files: list[str],
    asked: str,
    name: str,
    chosen: list[str] | None,
) -> None:
    for file in files:
        content = coco({"a.jpg": ["a"]}) if file.endswith(".json") else b"Url,Label\na.jpg,a\n"
        default_container.upload_blob(folder + file, content, overwrite=True)
    found = find_export(clients, LandedExport(str(default_container.container_name), folder + asked))
    assert found is not None
    assert found.name == f"{default_container.container_name}/{folder}{name}"
    if chosen is not None:
        assert sorted(found.files) == [folder + file for file in chosen]
    elif "csv" in folder:
        assert sorted(found.files) == [f"{folder}labeledDatapoints_1.jsonl"]
    else:
        assert sorted(found.files) == sorted(folder + file for file in files)
