"""Weeks of work: a ledger of 100,000 images, and what storage has of them.

The blobs are written by the product's own code. The ledger's rows go into Azurite's own file, while it stands still: as
transactions they would take it many minutes.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from azure.storage.blob import ContainerClient

from shared.clients import Clients
from shared.ledger import Batch, DayCounts, Image, normalised_etag
from shared.ledger.rows import BATCHES, SHARDS, batch_fields, image_fields, newest_first, path_hash, rfc3339
from shared.manifests import part_path, shard_size, write_manifest
from shared.models import Champion
from shared.results.collecting import write_files
from shared.scoring import Outcome
from tests.support import plain_jpeg

IMAGES = 100_000
BATCH_IMAGES, BATCHES_BEFORE = 5000, 17
# The newest batch's images can be looked at.
PICTURES = 120
# Of those that wait, so many can be looked at: a page of them.
SHOWN = 60
PICTURE_SIZE = (64, 48)
WAITING = IMAGES - BATCH_IMAGES * BATCHES_BEFORE - PICTURES
LABELS = ("apple", "banana", "book", "clock", "cup", "key", "scissors", "umbrella")
TABLE_FILE = "__azurite_db_table__.json"
# So many images differ in their probabilities; after them the same come again.
DIFFERENT = 997


class Row(NamedTuple):
    """A row's keys, and the row as Azurite keeps it (JSON): there are too many for objects."""

    partition: str
    row_key: str
    content: bytes


def write_history(clients: Clients, champion: Champion, pictures: ContainerClient, now: dt.datetime) -> Iterator[Row]:
    """Write the blobs; gives the ledger's rows. The pictures are uploaded by a client that raises no events."""
    days: dict[str, DayCounts] = {}
    numbers = itertools.count()
    for back in range(BATCHES_BEFORE, -1, -1):
        made = now - dt.timedelta(days=back)
        images = [_image(next(numbers)) for _ in range(BATCH_IMAGES)] if back else _upload(pictures)
        batch = _scored(clients, champion, images, made, is_certain=back > 0)
        day = f"{made:%Y-%m-%d}"
        days[day] = days.get(day, DayCounts(day)).plus(batch)
        for image in images:
            yield from _image_rows(image, made, state="scored", marker="", batch=batch.id, file=batch.files[0])
        yield _row(BATCHES, f"done:{newest_first(batch.id)}", made, **batch_fields(batch))
    for position, number in enumerate(itertools.islice(numbers, WAITING)):
        image = _image(number)
        if position < SHOWN:
            pictures.upload_blob(image.path, plain_jpeg(size=PICTURE_SIZE))
        since = (now - dt.timedelta(hours=1) + dt.timedelta(milliseconds=number)).isoformat(timespec="microseconds")
        marker = f"w:{since}:{image.key}"
        yield from _image_rows(image, now, state="waiting", marker=marker)
        yield _row(image.partition, marker, now, **image_fields(image))
    for counts in days.values():
        key = newest_first(f"day:{counts.day.replace('-', '')}")
        yield _row(BATCHES, key, now, **dataclasses.asdict(counts))


def add_rows(azurite: Path, rows: Iterable[Row]) -> int:
    """Put rows into the ledger of an Azurite that stands still; `azurite` is its folder. Returns how many they were."""
    file = azurite / TABLE_FILE
    database = json.loads(file.read_bytes())
    (ledger,) = [each for each in database["collections"] if each["name"].endswith("$ledger")]
    kept = ledger["data"]
    keys = [(row["PartitionKey"], row["RowKey"]) for row in kept]
    encoded = [msgspec.json.encode(row) for row in kept]
    last, count = ledger["maxId"], 0
    for count, row in enumerate(rows, 1):
        keys.append((row.partition, row.row_key))
        meta = b',"meta":{"revision":0,"created":0,"version":0},"$loki":%d}' % (last + count)
        encoded.append(row.content[:-1] + meta)
    ledger.update(data=["rows"], idIndex=None, maxId=last + count)
    for column, name in enumerate(("PartitionKey", "RowKey")):
        order = sorted(range(len(keys)), key=lambda number: keys[number][column])
        ledger["binaryIndices"][name] = {"name": name, "dirty": False, "values": order}
    head, tail = json.dumps(database).encode().split(b'["rows"]')
    file.write_bytes(head + b"[" + b",".join(encoded) + b"]" + tail)
    return count


def _image(number: int) -> Image:
    path, etag = f"2026/11/camera {number % 7}/IMG_{number:07}.jpg", f"0x{number:X}"
    return Image("images", path, etag, "images", path, etag)


def _upload(container: ContainerClient) -> list[Image]:
    images = []
    for number in range(PICTURES):
        path = f"today/IMG_{number:04}.jpg"
        content = plain_jpeg((number * 2, 80, 250 - number * 2), PICTURE_SIZE)
        blob = container.get_blob_client(path)
        etag = normalised_etag(str(blob.upload_blob(content)["etag"]))
        images.append(Image("images", path, etag, "images", path, etag))
    return images


def _scored(
    clients: Clients, champion: Champion, images: Sequence[Image], made: dt.datetime, *, is_certain: bool
) -> Batch:
    """A batch that was scored on the cluster, with all its blobs."""
    batch_id = f"{made:%Y%m%d-%H%M%S}-{len(images):010x}"
    manifest = write_manifest(clients, batch_id, LABELS, images)
    ended = rfc3339(made)
    batch = Batch(
        id=batch_id,
        state="done",
        route="cluster",
        reason=f"{len(images)} images, more than INLINE_MAX_IMAGES (32)",
        model_name=champion.name,
        model_version=champion.version,
        model_path=champion.path,
        created=rfc3339(made),
        images=manifest.images,
        shards=manifest.shards,
        folder=manifest.folder,
        job=f"score-{batch_id}",
        partitions=SHARDS,
        submitted=rfc3339(made),
        ended=ended,
    )
    container = clients.blobs.get_container_client(clients.settings.work_container)
    ordered = sorted(images, key=lambda image: image.key)
    size = shard_size(len(ordered), clients.settings)
    outcomes = itertools.cycle(_outcomes(is_certain))
    encoder = msgspec.json.Encoder()
    for shard, start in enumerate(range(0, len(ordered), size)):
        part = []
        for image in ordered[start : start + size]:
            labels, probabilities = next(outcomes)
            part.append(Outcome(image.key, labels, probabilities, ended))
        container.upload_blob(part_path(manifest.folder, shard), encoder.encode_lines(part))
    collected = write_files(clients, batch, job_error="")
    return dataclasses.replace(batch, files=collected.paths, predicted=collected.tally.predicted)


def _outcomes(is_certain: bool) -> list[tuple[tuple[str, ...], tuple[float, ...]]]:
    """Labels and probabilities; those that are not certain are what a person should review first."""
    chance = random.Random(1)  # noqa: S311 # the same at every run
    found = []
    for _ in range(DIFFERENT):
        near = [chance.uniform(0.0, 0.2) + 0.75 * (chance.random() < 0.2) for _ in LABELS]
        probabilities = [round(each if is_certain else 0.3 + each / 2, 4) for each in near]
        labels = tuple(label for label, each in zip(LABELS, probabilities, strict=True) if each >= 0.5)
        found.append((labels, tuple(probabilities)))
    return found


def _image_rows(image: Image, moment: dt.datetime, **fields: Any) -> Iterator[Row]:
    yield _row(image.partition, f"i:{path_hash(image.container, image.path)}", moment)
    arrived = moment.isoformat(timespec="microseconds")
    yield _row(image.partition, f"i:{image.key}", moment, **image_fields(image), arrived=arrived, **fields)


def _row(partition: str, row_key: str, moment: dt.datetime, **fields: Any) -> Row:
    keys = {"PartitionKey": partition, "RowKey": row_key}
    stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.0000000Z"
    properties = {**keys, **fields, "Timestamp": stamp, "Timestamp@odata.type": "Edm.DateTime"}
    etag = f"W/\"datetime'{quote(stamp)}'\""
    content = {**keys, "properties": properties, "lastModifiedTime": stamp, "eTag": etag}
    return Row(partition, row_key, msgspec.json.encode(content))
