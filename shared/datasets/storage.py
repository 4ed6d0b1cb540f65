"""An export's images in blob storage, and what is kept about them in the work container.

What it costs: one request for 2,000 blobs of each folder that has images of the export; one download for each image
that is new since the last export; a few requests for the two files that are kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shared.blob_listing import ListedBlob, list_pages
from shared.datasets.catalogue import Catalogue, Indices, image_digest
from shared.datasets.facts import IMAGE_FORMATS, MISSING, READ, THERE, UNCHECKED, UNUSABLE, Facts, Remembered
from shared.datasets.findings import Findings
from shared.datasets.kept import ROW, KeptSignatures
from shared.datasets.options import DataSetOptions
from shared.datasets.signatures import Signature, signature_of
from shared.ledger import normalised_etag

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

SIGNATURES = "datasets/signatures.npy"
# Beyond so many folders of one container, all below the folders' common beginning is listed instead.
MAX_FOLDERS = 1000
# Folders may hold far more than the export. So many requests, and the rest goes unchecked.
MAX_REQUESTS = 2000
# Of the 5,000 that are possible the XML takes 20 MB.
PAGE_SIZE = 2000
DOWNLOADS = 8
# Larger images are not downloaded for a comparison.
MAX_READ_BYTES = 20_000_000
_SAVE_EVERY = 2000
_SIDE_TYPE = np.dtype([("digest", "<u8"), ("side", "u1")])


class BlobImages:
    """The ImageStore of the data account, whose work container is `container`."""

    def __init__(self, blobs: BlobServiceClient, container: str) -> None:
        self._blobs = blobs
        self._container = container

    def look_up(self, catalogue: Catalogue, facts: Facts, findings: Findings) -> None:
        """List the folders that the images are in, until all are found."""
        listed = 0
        pages = self._pages(catalogue)
        for container, blobs in islice(pages, MAX_REQUESTS):
            listed += len(blobs)
            _note(catalogue, facts, container, blobs)
            if not (facts.exists == UNCHECKED).any():
                break
        unchecked = int((facts.exists == UNCHECKED).sum())
        if unchecked and next(pages, None) is None:
            facts.exists[facts.exists == UNCHECKED] = MISSING
        elif unchecked:
            text = (
                f"{unchecked} images were not looked for, since their folders hold more blobs than {MAX_REQUESTS}"
                f" requests list, of up to {PAGE_SIZE} each"
            )
            findings.add("not looked for", "warning", text, unchecked)
        findings.figures["listed"] = listed

    def _pages(self, catalogue: Catalogue) -> Iterator[tuple[str, list[ListedBlob]]]:
        """Container and blobs of one request after the other."""
        from azure.core.exceptions import ResourceNotFoundError

        for container, (folders, prefix) in _folders(catalogue).items():
            client = self._blobs.get_container_client(container)
            walks = [(folder, "/") for folder in sorted(folders)] or [(prefix, "")]
            with contextlib.suppress(ResourceNotFoundError):  # Without the container, all of them are missing.
                for beginning, delimiter in walks:
                    for page in list_pages(client, prefix=beginning, delimiter=delimiter, page_size=PAGE_SIZE):
                        yield container, page.blobs

    def read(self, catalogue: Catalogue, facts: Facts, chosen: Indices, limit: int) -> None:
        """Take what is known of the images as they are now, and download others, `DOWNLOADS` at a time. What was read
        is kept now and then, so that a worker that is stopped has not read for nothing.
        """
        chosen = chosen[facts.etag[chosen] != 0]
        with contextlib.closing(KeptSignatures(self._blobs.get_blob_client(self._container, SIGNATURES))) as kept:
            unknown = _recognise(catalogue, facts, chosen, kept)
            unknown = unknown[facts.size[unknown] <= MAX_READ_BYTES][:limit]
            for start in range(0, len(unknown), _SAVE_EVERY):
                part = unknown[start : start + _SAVE_EVERY]
                self._download(catalogue, facts, part)
                done = part[facts.state[part] > 0]
                rows = np.zeros(len(done), ROW)
                rows["digest"] = catalogue.digests[done]
                for name, values in _looks(catalogue, facts):
                    rows[name] = values[done]
                # What another export kept meanwhile is lost, and read again when it is needed.
                kept.add(rows)

    def _download(self, catalogue: Catalogue, facts: Facts, chosen: Indices) -> None:
        locations = catalogue.locations(chosen.tolist())
        running: deque[tuple[int, Future[tuple[Signature, int] | None]]] = deque()
        with warnings.catch_warnings(), ThreadPoolExecutor(DOWNLOADS) as pool:
            warnings.filterwarnings("ignore", module=r"PIL\.")
            try:
                for index, container, path in locations:
                    running.append((index, pool.submit(self._signature, container, path)))
                    if len(running) >= 2 * DOWNLOADS:
                        _fill_in(catalogue, facts, *running.popleft())
                while running:
                    _fill_in(catalogue, facts, *running.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _signature(self, container: str, path: str) -> tuple[Signature, int] | None:
        """What an image looks like, and its etag's 64 bits; None when it is gone."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            download = self._blobs.get_blob_client(container, path).download_blob()
            content = download.readall()
        except ResourceNotFoundError:
            return None
        return signature_of(content), etag_bits(str(download.properties.etag))

    def recall(self, options: DataSetOptions) -> Remembered:
        rows, version = self._load(_sides_path(options), _SIDE_TYPE)
        return Remembered(rows["digest"].copy(), rows["side"].copy(), version)

    def remember(self, options: DataSetOptions, remembered: Remembered) -> bool:
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceExistsError, ResourceModifiedError

        rows = np.zeros(len(remembered.digests), _SIDE_TYPE)
        rows["digest"], rows["side"] = remembered.digests, remembered.sides
        conditions: dict[str, Any] = {"overwrite": False}
        if remembered.version:
            conditions = {"overwrite": True, "etag": remembered.version}
            conditions["match_condition"] = MatchConditions.IfNotModified
        try:
            self._save(_sides_path(options), rows, **conditions)
        except (ResourceExistsError, ResourceModifiedError):
            return False
        return True

    def _load(self, path: str, kind: np.dtype[np.void]) -> tuple[NDArray[np.void], str]:
        """A kept array, empty if there is none or another version of the app wrote it; and its etag."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            download = self._blobs.get_blob_client(self._container, path).download_blob()
            content = download.readall()
        except ResourceNotFoundError:
            return np.zeros(0, kind), ""
        rows: NDArray[np.void] = np.load(io.BytesIO(content), allow_pickle=False)
        return rows if rows.dtype == kind else np.zeros(0, kind), str(download.properties.etag)

    def _save(self, path: str, rows: NDArray[np.void], **conditions: Any) -> None:
        buffer = io.BytesIO()
        np.save(buffer, rows, allow_pickle=False)
        buffer.seek(0)
        self._blobs.get_blob_client(self._container, path).upload_blob(buffer, **conditions)


def _sides_path(options: DataSetOptions) -> str:
    return f"datasets/sides-{options.random_seed}-{options.train_ratio:g}.npy"


def _folders(catalogue: Catalogue) -> dict[str, tuple[set[str], str]]:
    """By container the folders of images, or none but their common beginning when they are very many."""
    found: dict[str, tuple[set[str], str]] = {}
    for _, container, path in catalogue.scan():
        folder = path[: path.rfind("/") + 1]
        folders, prefix = found.get(container, ({folder}, ""))
        if not folders:
            prefix = commonprefix([prefix, folder])  # noqa: RUF071 - storage compares prefixes by character, too
        elif folder not in folders:
            folders.add(folder)
            if len(folders) > MAX_FOLDERS:
                folders, prefix = set(), commonprefix(sorted(folders))  # noqa: RUF071
        found[container] = folders, prefix
    return found


def _note(catalogue: Catalogue, facts: Facts, container: str, blobs: list[ListedBlob]) -> None:
    digests = np.array([image_digest(container, blob.path) for blob in blobs], dtype=np.uint64)
    at = np.minimum(np.searchsorted(catalogue.digests, digests), max(len(catalogue) - 1, 0))
    positions = np.flatnonzero(catalogue.digests[at] == digests)
    indices, found = at[positions], [blobs[position] for position in positions.tolist()]
    facts.exists[indices] = THERE
    facts.size[indices] = [blob.size for blob in found]
    facts.etag[indices] = np.array([etag_bits(blob.etag) for blob in found], np.uint64)
    md5 = [int.from_bytes((blob.content_md5 or b"")[:8], "little") for blob in found]
    facts.md5[indices] = np.array(md5, np.uint64)


def etag_bits(etag: str) -> int:
    """The 64 bits by which an ETag is known here; never 0."""
    digest = hashlib.blake2b(normalised_etag(etag).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def _looks(catalogue: Catalogue, facts: Facts) -> list[tuple[str, NDArray[Any]]]:
    """The fields of ROW but the first, and where they are here."""
    looks = [(name, getattr(facts, name)) for name in ("etag", "bits", "colour", "state", "format")]
    return [*looks, ("width", catalogue.widths), ("height", catalogue.heights)]


def _recognise(catalogue: Catalogue, facts: Facts, chosen: Indices, kept: KeptSignatures) -> Indices:
    """Fill in what is kept; the images of which nothing is, or of an older content. `chosen` is sorted."""
    unknown = np.ones(len(chosen), np.bool_)
    for piece in kept.pieces():
        begin = np.searchsorted(catalogue.digests, piece["digest"][0])
        end = np.searchsorted(catalogue.digests, piece["digest"][-1], side="right")
        first, last = np.searchsorted(chosen, np.array((begin, end), chosen.dtype)).tolist()
        images = chosen[first:last]
        rows = piece[np.searchsorted(piece["digest"], catalogue.digests[images])]
        known = (rows["digest"] == catalogue.digests[images]) & (rows["etag"] == facts.etag[images])
        for name, values in _looks(catalogue, facts):
            values[images[known]] = rows[name][known]
        unknown[first:last] = ~known
    return chosen[unknown]


def _fill_in(catalogue: Catalogue, facts: Facts, index: int, future: Future[tuple[Signature, int] | None]) -> None:
    found = future.result()
    if found is None:
        facts.exists[index] = MISSING
        return
    signature, facts.etag[index] = found
    facts.state[index] = UNUSABLE if signature.problem else READ
    facts.bits[index], facts.colour[index] = signature.bits, signature.colour
    catalogue.widths[index], catalogue.heights[index] = signature.width, signature.height
    facts.format[index] = IMAGE_FORMATS.index(signature.format) if not signature.problem else 0
    if signature.problem:
        facts.problems[index] = signature.problem
