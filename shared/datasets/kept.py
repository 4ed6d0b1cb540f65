"""What images looked like when they were read for earlier exports: rows in one blob, sorted by the images' digests.

A million rows are 38 MB. They are read and merged in pieces, through a temporary file, and are never in memory at once.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

ROW = np.dtype(
    [
        ("digest", "<u8"),
        ("etag", "<u8"),
        ("bits", "<u8"),
        ("colour", "u1", (3,)),
        ("state", "u1"),
        ("format", "u1"),
        ("width", "<u4"),
        ("height", "<u4"),
    ]
)
_PIECE = 50_000
logger = logging.getLogger(__name__)


class KeptSignatures:
    """The rows of one blob, as they were when it was opened, with those that were added since."""

    def __init__(self, blob: BlobClient) -> None:
        self._blob = blob
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._begin = self._count = 0
        try:
            self._download()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def pieces(self) -> Iterator[NDArray[np.void]]:
        """All rows, in order."""
        self._file.seek(self._begin)
        for first in range(0, self._count, _PIECE):
            yield np.frombuffer(self._file.read(min(_PIECE, self._count - first) * ROW.itemsize), ROW)

    def add(self, rows: NDArray[np.void]) -> None:
        """Put rows in place of those of the same images, and keep all of them for later exports."""
        rows = rows[np.argsort(rows["digest"], kind="stable")]
        merged: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it becomes `_file`
        try:
            count = self._count + len(rows) - sum(int(_known(piece, rows).sum()) for piece in self.pieces())
            npy.write_array_header_1_0(merged, {"descr": ROW.descr, "fortran_order": False, "shape": (count,)})
            begin = merged.tell()
            for piece in _merged(self.pieces(), rows):
                merged.write(piece.tobytes())
        except BaseException:
            merged.close()
            raise
        self._file.close()
        self._file, self._begin, self._count = merged, begin, count
        merged.seek(0)
        # Given piece by piece, since the SDK reads a file of up to 64 MB into memory first.
        self._blob.upload_blob(iter(lambda: merged.read(_PIECE * ROW.itemsize), b""), overwrite=True)

    def _download(self) -> None:
        from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

        try:
            while True:
                try:
                    self._copy()
                    break
                except ResourceModifiedError:  # Another export kept more meanwhile.
                    self._file.seek(0)
                    self._file.truncate()
        except ResourceNotFoundError:
            return
        length = self._file.tell()
        self._file.seek(0)
        try:
            npy.read_magic(self._file)
            shape, _, kind = npy.read_array_header_1_0(self._file)
        except ValueError as error:
            # What it held can be found out again.
            logger.warning("%s is no NumPy array and is not used: %s", self._blob.blob_name, error)
            return
        begin = self._file.tell()
        # Another version of the app may have written other rows.
        if kind == ROW and len(shape) == 1 and length == begin + shape[0] * ROW.itemsize:
            self._begin, self._count = begin, shape[0]

    def _copy(self) -> None:
        """Copy the blob to the file, in ranges: of a whole blob the SDK has the first 32 MB in memory, twice."""
        from azure.core import MatchConditions

        properties = self._blob.get_blob_properties()
        while self._file.tell() < properties.size:
            part = self._blob.download_blob(
                self._file.tell(),
                _PIECE * ROW.itemsize,
                etag=properties.etag,
                match_condition=MatchConditions.IfNotModified,
            )
            self._file.write(part.readall())


def _known(piece: NDArray[np.void], rows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which rows of a piece are of images that are among `rows`."""
    return np.isin(piece["digest"], rows["digest"])


def _merged(pieces: Iterator[NDArray[np.void]], rows: NDArray[np.void]) -> Iterator[NDArray[np.void]]:
    """Rows in order, those of the pieces replaced by those of the same images in `rows`; both are sorted."""
    for piece in pieces:
        end = int(np.searchsorted(rows["digest"], piece["digest"][-1], side="right"))
        both = np.concatenate((piece[~_known(piece, rows)], rows[:end]))
        yield both[np.argsort(both["digest"], kind="stable")]
        rows = rows[end:]
    yield rows
