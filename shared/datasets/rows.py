"""The rows of an export as they are read, and made into images: one for each, whatever the number of its rows."""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from shared.datasets.catalogue import Catalogue, Labels, Paths, image_digest
from shared.datasets.findings import Findings
from shared.datasets.options import MAX_EXAMPLES, DataSetOptions
from shared.errors import ExportError, InvalidRequestError
from shared.labels import LabelledImage
from shared.locations import Datastores, locate

Resolve = Callable[[Labels], Labels]

_ROW = struct.Struct("<QQIHIIIIH")
_ROW_TYPE = np.dtype(
    [
        ("digest", "<u8"),
        ("offset", "<u8"),
        ("length", "<u4"),
        ("container", "<u2"),
        ("file", "<u4"),
        ("record", "<u4"),
        ("width", "<u4"),
        ("height", "<u4"),
        ("labels", "<u2"),
    ]
)
MAX_LABELS_PER_IMAGE = 2**16 - 1
_FLUSH_BYTES = 1_000_000
_CACHED_LABELS = 50_000


class Places:
    """`locate`, with its answer kept for each beginning of a URL: up to the datastore or the container."""

    def __init__(self, datastores: Datastores, account_url: str) -> None:
        self._datastores = datastores
        self._account_url = account_url
        self._known: dict[str, str] = {}
        self._beginning = re.compile(
            r"(?:AmlDatastore://[^/]+/|azureml://(?:subscriptions/[^?#]*?/)?datastores/[^/]+/paths/|"
            rf"{re.escape(account_url.rstrip('/'))}/[^/?#%]+/)"
        )

    def find(self, url: str) -> tuple[str, str]:
        """Container and path. Raises InvalidRequestError, also for a container without a datastore."""
        match = self._beginning.match(url)
        if match:
            beginning, path = match[0], url[match.end() :]
            container = self._known.get(beginning)
            if container is not None and _is_plain(path):
                return container, path
        location = locate(url, self._datastores, account_url=self._account_url)
        self._datastores.name_of(location.container)
        if match and location.path == url[match.end() :] and len(self._known) < 1000:
            self._known[match[0]] = location.container
        return location.container, location.path


def _is_plain(path: str) -> bool:
    """Whether a path stands for itself in every form of URL: nothing escaped, no odd segments."""
    return (
        bool(path)
        and not (
            path[0] in "./"
            or path[-1] == "/"
            or "%" in path
            or "?" in path
            or "#" in path
            or "//" in path
            or "/." in path
        )
        and path.isprintable()
    )


class _Rows:
    """The rows of an export as they come."""

    def __init__(self) -> None:
        self.packed = bytearray()
        self.paths = Paths()
        self.containers: dict[str, int] = {}
        self.files: dict[str, int] = {}
        self.label_ids = array("I")
        # A label alone in its row may be a cell that holds several: it is another label than the same one among others.
        self.raw: dict[tuple[str, bool], int] = {}
        self._ids: dict[Labels, array[int]] = {}
        self._pending = bytearray()
        self._written = 0

    def add(self, image: LabelledImage, container: str, path: str) -> None:
        ids = self._ids.get(image.labels)
        if ids is None:
            if len(self._ids) >= _CACHED_LABELS:
                self._ids.clear()
            alone = len(image.labels) == 1
            numbers = (self.raw.setdefault((label, alone), len(self.raw)) for label in image.labels)
            ids = self._ids[image.labels] = array("I", islice(numbers, MAX_LABELS_PER_IMAGE))
        encoded = path.encode()
        self.packed += _ROW.pack(
            image_digest(container, path),
            self._written + len(self._pending),
            len(encoded),
            self.containers.setdefault(container, len(self.containers)),
            self.files.setdefault(image.file, len(self.files)),
            image.record & 0xFFFFFFFF,
            image.width,
            image.height,
            len(ids),
        )
        self.label_ids.extend(ids)
        self._pending += encoded
        if len(self._pending) >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        self.paths.file.seek(self._written)
        while self._pending:
            # Without a buffer, less may be written than was asked for.
            written = self.paths.file.write(self._pending)
            self._written += written
            del self._pending[:written]


def read_images(
    images: Iterable[LabelledImage],
    export: str,
    places: Places,
    options: DataSetOptions,
    findings: Findings,
    resolve: Resolve,
) -> Catalogue:
    """Read all rows; rows of one image become one. Raises ExportError when images can't be found by their URLs, or
    have several rows where `on_duplicate` refuses that.
    """
    rows, reasons = _Rows(), []
    count = unsure = strange = negative = 0
    for image in images:
        count += 1
        negative += image.negative
        if image.confidence < options.min_label_confidence:
            unsure += 1
            continue
        try:
            container, path = places.find(image.url)
        except InvalidRequestError as error:
            strange += 1
            if strange <= MAX_EXAMPLES:
                reasons.append(str(error))
            continue
        rows.add(image, container, path)
    rows.flush()
    findings.figures["rows"] = {
        "read": count,
        "below MIN_LABEL_CONFIDENCE": unsure,
        "not in the data account": strange,
        "without labels on purpose": negative,
    }
    if unsure:
        text = f"{unsure} rows are left out, since a model labelled them with less than MIN_LABEL_CONFIDENCE"
        findings.add("low confidence", "warning", f"{text} ({options.min_label_confidence:g})", unsure)
    if strange:
        remedy = "let the export name images of the data account, in containers that have a datastore"
        text = f"{strange} images can't be found by their URLs"
        findings.add("unusable URL", "refusal", text, strange, reasons, remedy)
        if strange > MAX_EXAMPLES:
            reasons.append(f"and {strange - MAX_EXAMPLES} more images that can't be found")
        raise ExportError(export, reasons)
    return _united(rows, export, options, findings, resolve)


def _united(rows: _Rows, export: str, options: DataSetOptions, findings: Findings, resolve: Resolve) -> Catalogue:
    table = np.frombuffer(rows.packed, dtype=_ROW_TYPE)
    order = np.argsort(table["digest"], kind="stable").astype(np.int32)
    digests = table["digest"][order]
    first = np.concatenate(([True], digests[1:] != digests[:-1])) if len(order) else np.zeros(0, np.bool_)
    image_of_row = np.empty(len(order), np.int32)
    image_of_row[order] = np.cumsum(first, dtype=np.int32) - 1
    taken = order[first]
    del order, digests, first
    counts = table["labels"].copy()
    repeated = len(taken) < len(table)
    sources = table[["file", "record"]].copy() if repeated else table
    # Reordered where it is, a column at a time: a copy of all would be 40 MB more.
    for name in table.dtype.names or ():
        table[name][: len(taken)] = table[name][taken]
    images = table[: len(taken)]
    del taken, table
    labels, row_of_label, label_ids = _resolved(rows, counts, resolve)
    catalogue = Catalogue(images, rows.paths, list(rows.containers), labels, np.zeros(1, np.int64), label_ids)
    if repeated:
        _check_duplicates(catalogue, sources, list(rows.files), image_of_row, row_of_label, export, options, findings)
    keys = image_of_row[row_of_label].astype(np.int64)
    del row_of_label, image_of_row, sources
    keys *= max(len(labels), 1)
    keys += label_ids
    keys.sort()
    keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))] if len(keys) else keys
    catalogue.label_ids = (keys % max(len(labels), 1)).astype(np.uint32)
    keys //= max(len(labels), 1)
    catalogue.label_starts = np.concatenate(([0], np.cumsum(np.bincount(keys, minlength=len(images)))))
    findings.figures["rows"]["images"] = len(images)
    return catalogue


def _resolved(
    rows: _Rows, counts: NDArray[np.uint16], resolve: Resolve
) -> tuple[list[str], NDArray[np.int32], NDArray[np.uint32]]:
    """The labels as they are meant, sorted; and for each that a row has, the row and the label's number."""
    # Twice the same is one label that is not alone.
    meant = [resolve((label,) if alone else (label, label)) for label, alone in rows.raw]
    labels = sorted({label for some in meant for label in some})
    numbers = {label: number for number, label in enumerate(labels)}
    raw = np.frombuffer(rows.label_ids, dtype=np.uint32)
    row_of_label = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    sizes = np.array([len(some) for some in meant], dtype=np.int64)
    flat = np.array([numbers[label] for some in meant for label in some], dtype=np.uint32)
    if (sizes == 1).all():
        return labels, row_of_label, flat[raw]
    starts = np.cumsum(sizes) - sizes
    each = sizes[raw]
    within = np.arange(each.sum()) - np.repeat(np.cumsum(each) - each, each)
    return labels, np.repeat(row_of_label, each), flat[np.repeat(starts[raw], each) + within]


def _check_duplicates(
    catalogue: Catalogue,
    table: NDArray[np.void],
    files: list[str],
    image_of_row: NDArray[np.int32],
    row_of_label: NDArray[np.int32],
    export: str,
    options: DataSetOptions,
    findings: Findings,
) -> None:
    row_counts = np.bincount(image_of_row, minlength=len(catalogue))
    repeated = row_counts > 1
    differ = _differ(len(catalogue), len(table), image_of_row, row_of_label, catalogue.label_ids)
    count, conflicts = int(repeated.sum()), int(differ.sum())
    findings.figures["duplicates"] = {"images": count, "rows": int(row_counts[repeated].sum()), "conflicts": conflicts}

    def described(chosen: NDArray[np.bool_]) -> Iterator[str]:
        for index in np.flatnonzero(chosen)[:MAX_EXAMPLES].tolist():
            some = table[np.flatnonzero(image_of_row == index)[:5]]
            where = ", ".join(f"{files[each['file']]}:{each['record']}" for each in some)
            yield f"{catalogue.location(index)} ({where})"

    refused = options.on_duplicate == "refuse"
    what = "and ON_DUPLICATE is refuse" if refused else "their labels are united"
    text = f"{count} images have several rows, {what}"
    remedy = "export each image once, or set ON_DUPLICATE=unite" if refused else ""
    findings.add("duplicate", "refusal" if refused else "warning", text, count, described(repeated), remedy)
    if conflicts:
        text = f"{conflicts} images have several rows with different labels"
        remedy = "look at these images again: the labels of all rows count now"
        findings.add("conflicting labels", "warning", text, conflicts, described(differ), remedy)
    if refused:
        raise ExportError(export, [*findings.texts("refusal"), remedy])


def _differ(
    images: int,
    rows: int,
    image_of_row: NDArray[np.int32],
    row_of_label: NDArray[np.int32],
    label_ids: NDArray[np.uint32],
) -> NDArray[np.bool_]:
    """Images whose rows, as far as they have labels, have not all the same ones. A set of labels is the sum of its
    labels' 64-bit hashes.
    """
    mixed = (label_ids.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    sets = np.zeros(rows, np.uint64)
    np.add.at(sets, row_of_label, mixed)
    has_labels = sets != 0
    low = np.full(images, np.iinfo(np.uint64).max, np.uint64)
    high = np.zeros(images, np.uint64)
    np.minimum.at(low, image_of_row[has_labels], sets[has_labels])
    np.maximum.at(high, image_of_row[has_labels], sets[has_labels])
    differ: NDArray[np.bool_] = (high > 0) & (low != high)
    return differ
