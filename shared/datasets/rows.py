"""The rows of an export as they are read, and made into images: one for each, whatever the number of its rows."""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.datasets.catalogue import Catalogue, Indices, Labels, TemporaryBytes, gathered, image_digest
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
_CACHED_LABELS = 50_000
# So many rows, or images, are looked at at once.
_PIECE = 50_000


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
    """The rows of an export as they come, in temporary files but for their labels."""

    def __init__(self) -> None:
        self.table = TemporaryBytes()
        self.paths = TemporaryBytes()
        self.containers: dict[str, int] = {}
        self.files: dict[str, int] = {}
        self.label_ids = array("I")
        # A label alone in its row may be a cell that holds several: it is another label than the same one among others.
        self.raw: dict[tuple[str, bool], int] = {}
        self._ids: dict[Labels, array[int]] = {}

    def __len__(self) -> int:
        return len(self.table) // _ROW.size

    def add(self, image: LabelledImage, container: str, path: str) -> None:
        ids = self._ids.get(image.labels)
        if ids is None:
            if len(self._ids) >= _CACHED_LABELS:
                self._ids.clear()
            alone = len(image.labels) == 1
            numbers = (self.raw.setdefault((label, alone), len(self.raw)) for label in image.labels)
            ids = self._ids[image.labels] = array("I", islice(numbers, MAX_LABELS_PER_IMAGE))
        encoded = path.encode()
        row = _ROW.pack(
            image_digest(container, path),
            len(self.paths),
            len(encoded),
            self.containers.setdefault(container, len(self.containers)),
            self.files.setdefault(image.file, len(self.files)),
            image.record & 0xFFFFFFFF,
            image.width,
            image.height,
            len(ids),
        )
        self.table.append(row)
        self.paths.append(encoded)
        self.label_ids.extend(ids)

    def column(self, name: str, chosen: Indices | None = None) -> NDArray[Any]:
        """One field of all rows, or of the chosen ones."""
        values = np.empty(len(self), _ROW_TYPE[name])
        for first in range(0, len(values), _PIECE):
            piece = values[first : first + _PIECE]
            content = self.table.read(first * _ROW.size, len(piece) * _ROW.size)
            piece[:] = np.frombuffer(content, _ROW_TYPE)[name]
        return values if chosen is None else values[chosen]

    def place(self, row: int) -> str:
        """Where in the export a row was: file and record."""
        fields = np.frombuffer(self.table.read(row * _ROW.size, _ROW.size), _ROW_TYPE)[0]
        return f"{list(self.files)[fields['file']]}:{fields['record']}"


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
    digests = rows.column("digest")
    order = np.argsort(digests, kind="stable").astype(np.int32)
    digests = digests[order]
    first = np.concatenate(([True], digests[1:] != digests[:-1])) if len(order) else np.zeros(0, np.bool_)
    # The rows of image `i` are `order[bounds[i] : bounds[i + 1]]`.
    bounds = np.append(np.flatnonzero(first), len(order)).astype(np.int32)
    digests = digests[first]
    del first
    labels, label_starts, label_ids, differ = _labels(rows, order, bounds, resolve)
    taken = order[bounds[:-1]]
    catalogue = Catalogue(
        digests=digests,
        offsets=rows.column("offset", taken),
        lengths=rows.column("length", taken),
        container_ids=rows.column("container", taken),
        widths=rows.column("width", taken),
        heights=rows.column("height", taken),
        label_starts=label_starts,
        label_ids=label_ids,
        paths=rows.paths,
        containers=list(rows.containers),
        labels=labels,
    )
    findings.figures["rows"]["images"] = len(catalogue)
    if len(catalogue) < len(order):
        _tell_duplicates(catalogue, rows, order, bounds, differ, export, options, findings)
    return catalogue


def _labels(
    rows: _Rows, order: NDArray[np.int32], bounds: NDArray[np.int32], resolve: Resolve
) -> tuple[list[str], NDArray[np.int64], NDArray[np.uint32], NDArray[np.bool_]]:
    """The labels as they are meant, sorted; of each image its labels, as Catalogue has them, and whether its rows
    differ in them.
    """
    # Twice the same is one label that is not alone.
    meant = [resolve((label,) if alone else (label, label)) for label, alone in rows.raw]
    labels = sorted({label for some in meant for label in some})
    numbers = {label: number for number, label in enumerate(labels)}
    meant_starts = np.cumsum([0, *(len(some) for some in meant)])
    meant_ids = np.array([numbers[label] for some in meant for label in some], dtype=np.uint32)
    row_starts = np.concatenate(([0], np.cumsum(rows.column("labels"), dtype=np.int64)))
    raw = np.frombuffer(rows.label_ids, dtype=np.uint32)
    counts = np.zeros(len(bounds) - 1, np.int64)
    differ = np.zeros(len(counts), np.bool_)
    found: list[NDArray[np.uint32]] = []
    for first in range(0, len(counts), _PIECE):
        last = min(first + _PIECE, len(counts))
        here = order[bounds[first] : bounds[last]]
        image_of_row = np.repeat(np.arange(last - first, dtype=np.int32), np.diff(bounds[first : last + 1]))
        row_of_raw, raw_ids = gathered(row_starts, raw, here)
        owner, ids = gathered(meant_starts, meant_ids, raw_ids)
        row_of_label = row_of_raw[owner]
        if len(here) > last - first:
            differ[first:last] = _differ(last - first, len(here), image_of_row, row_of_label, ids)
        keys = np.unique(image_of_row[row_of_label].astype(np.int64) * len(labels) + ids)
        found.append((keys % max(len(labels), 1)).astype(np.uint32))
        counts[first:last] = np.bincount(keys // max(len(labels), 1), minlength=last - first)
    label_ids = np.concatenate(found) if found else np.zeros(0, np.uint32)
    return labels, np.concatenate(([0], np.cumsum(counts))), label_ids, differ


def _tell_duplicates(
    catalogue: Catalogue,
    rows: _Rows,
    order: NDArray[np.int32],
    bounds: NDArray[np.int32],
    differ: NDArray[np.bool_],
    export: str,
    options: DataSetOptions,
    findings: Findings,
) -> None:
    row_counts = np.diff(bounds)
    repeated = row_counts > 1
    count, conflicts = int(repeated.sum()), int(differ.sum())
    findings.figures["duplicates"] = {"images": count, "rows": int(row_counts[repeated].sum()), "conflicts": conflicts}

    def described(chosen: NDArray[np.bool_]) -> Iterator[str]:
        for index in np.flatnonzero(chosen)[:MAX_EXAMPLES].tolist():
            some = order[bounds[index] : bounds[index + 1]][:5].tolist()
            yield f"{catalogue.location(index)} ({', '.join(map(rows.place, some))})"

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
