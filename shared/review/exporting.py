"""Corrections as a label export: one blob in the folder of label exports, where the loop finds it as any other.

The images and labels of the last training are in it as well, so that a handful of corrections does not train a model on
a handful of images. It is named by what is in it: the same again is there already, and trained on no second time.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from shared.datasets import SPLITS, export_id
from shared.errors import ConflictError, InvalidRequestError
from shared.ledger import normalised_etag
from shared.ledger.table import in_parallel
from shared.locations import BlobLocation, Datastores, locate, read_datastores
from shared.models import model_store
from shared.provisioning.subscriptions import default_container
from shared.review.corrections import Correction, Corrections
from shared.review.writing import FORMATS, Row, write_rows
from shared.training.exports import EXPORTS_FOLDER
from shared.training.line import read_line
from shared.training.reports import note_request, read_report

if TYPE_CHECKING:
    from shared.clients import Clients

# Kept in memory, and asked for one by one whether their images are still the same.
MAX_CORRECTIONS = 100_000
_IN_MEMORY = 16_000_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CorrectionExport:
    """What was written: the export's name and id, its images, those of them that were corrected, and the corrections
    that are left out since their images were replaced or deleted. Not `created`: it was there already.
    """

    export: str
    export_id: str
    images: int
    corrected: int
    outdated: int
    created: bool


def export(clients: Clients, file_format: str, *, with_last_training: bool = True) -> CorrectionExport:
    """Write the corrections as a label export, `coco` or `jsonl`. Raises ConflictError when there are none, or the
    workspace is not there yet.
    """
    from azure.core.exceptions import ResourceExistsError

    corrections = Corrections(clients.tables)
    # Before they are read: what comes meanwhile counts as not exported.
    changes = corrections.counts().changes
    current, outdated = _current(clients, corrections)
    if not current:
        left_out = f"; {outdated} are of images that were replaced or deleted since" if outdated else ""
        raise ConflictError(f"there are no corrections to be exported{left_out}")
    container = default_container(clients)
    if container is None:
        raise ConflictError("there is no workspace yet; POST /api/provision makes one")
    datastores = read_datastores(clients.ml, clients.account_name)
    base = _last_training(clients) if with_last_training else iter(())
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        rows = merged(base, current, datastores, clients.account_url)
        written = write_rows(rows, file_format, file)
        path = f"{EXPORTS_FOLDER}corrections-{written.digest}{FORMATS[file_format]}"
        try:
            _upload(clients, container, path, file)
            created = True
        except ResourceExistsError:
            created = False
    name = f"{container}/{path}"
    if read_report(clients, name) is None:
        # So that there is something to be looked at until Event Grid has told of it.
        note_request(clients, name)
    corrections.note_export(changes)
    logger.info("%d corrections are in label export %s, of %d images", len(current), name, written.images)
    return CorrectionExport(name, export_id(name), written.images, len(current), outdated, created)


def merged(
    base: Iterable[dict[str, Any]], corrections: list[Correction], datastores: Datastores, account_url: str
) -> Iterator[Row]:
    """The rows of a training, with the labels of corrections in place of theirs; then the corrections of other images.
    An image that had to be converted is the same by the path of either.
    """
    by_location: dict[tuple[str, str], int] = {}
    for number, each in enumerate(corrections):
        by_location[each.container, each.path] = number
        by_location[each.source_container, each.source_path] = number
    done = bytearray(len(corrections))
    for row in base:
        url = str(row["image_url"])
        try:
            location = locate(url, datastores, account_url=account_url)
        except InvalidRequestError as error:
            # Its datastore was deleted since; the training would not find it either.
            logger.warning("an image of the last training is left out: %s", error)
            continue
        number = by_location.get((location.container, location.path), -1)
        if number < 0:
            yield Row(url, tuple(row["label"]), row.get("image_details") or {})
        elif not done[number]:
            done[number] = 1
            yield _row(corrections[number], datastores)
    for number, each in enumerate(corrections):
        if not done[number]:
            yield _row(each, datastores)


def _row(correction: Correction, datastores: Datastores) -> Row:
    location = BlobLocation(correction.source_container, correction.source_path)
    return Row(datastores.uri(location), correction.labels, {})


def _current(clients: Clients, corrections: Corrections) -> tuple[list[Correction], int]:
    """The corrections of what images have now, in the order of their paths, and how many others there are."""
    from azure.core.exceptions import ResourceNotFoundError

    found: list[Correction] = []
    for each in corrections.all():
        if len(found) == MAX_CORRECTIONS:
            raise ConflictError(f"there are more than {MAX_CORRECTIONS:,} corrections, too many for one export")
        found.append(each)

    def is_current(correction: Correction) -> bool:
        blob = clients.blobs.get_blob_client(correction.container, correction.path)
        try:
            return normalised_etag(str(blob.get_blob_properties().etag)) == correction.etag
        except ResourceNotFoundError:
            return False

    checked = zip(found, in_parallel(is_current, found), strict=True)
    current = sorted((each for each, is_so in checked if is_so), key=lambda each: (each.container, each.path))
    return current, len(found) - len(current)


def _last_training(clients: Clients) -> Iterator[dict[str, Any]]:
    """The rows of the data set that was trained on last; none before the first training."""
    last = read_line(clients).last
    champion = None if last else model_store(clients).champion()
    data_set = last.data_set if last else ""
    if champion is not None:
        data_set = str(model_store(clients).card(champion.path).get("data_set") or "")
    return rows_of(clients, data_set) if data_set else iter(())


def rows_of(clients: Clients, data_set: str) -> Iterator[dict[str, Any]]:
    """The rows of a data set, as they stand in its files. Raises ConflictError when it is gone."""
    from azure.core.exceptions import ResourceNotFoundError

    container = clients.blobs.get_container_client(clients.settings.work_container)
    for split in SPLITS:
        try:
            chunks = container.download_blob(f"datasets/{data_set}/{split}/{split}.jsonl").chunks()
        except ResourceNotFoundError:
            raise ConflictError(
                f"data set {data_set}, of the last training, was deleted; export `corrections` alone, or train on a "
                "label export first"
            ) from None
        yield from map(json.loads, _lines(chunks))


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)
    if rest:
        yield rest


def _upload(clients: Clients, container: str, path: str, file: IO[bytes]) -> None:
    """All of it becomes visible at once. Raises ResourceExistsError."""
    length = file.tell()
    file.seek(0)
    blob = clients.blobs.get_blob_client(container, path)
    blob.upload_blob(file, length=length, overwrite=False)
