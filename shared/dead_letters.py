"""Where Event Grid puts the events that it gave up on, and how those letters are taken, changed and put aside.

A dead letter is a blob with an array of events (https://learn.microsoft.com/azure/event-grid/manage-event-delivery).
Every change of a letter is conditional on its etag: a worker may die at any step, and several may work at once.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import InvalidRequestError

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobProperties, BlobServiceClient, ContainerClient

DEAD_LETTERS = "dead-letters"
# Of those that are not tried again.
UNRETURNED_FOLDER = "unreturned/"
# An event has at most 1 MB: https://learn.microsoft.com/azure/event-grid/quotas-limits
MAX_LETTER_BYTES = 16_000_000
MAX_COUNTED = 1000
# Metadata of a letter: how often it was tried in vain, and why it is given up. Metadata of one put aside: why.
TRIES, GIVEN_UP, REASON = "tries", "given_up", "reason"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Letter:
    """A letter as it was found or changed last. `size` in bytes, as found.

    Methods raise ResourceModifiedError or ResourceNotFoundError when another worker has changed or removed it since.
    """

    container: ContainerClient
    path: str
    etag: str
    size: int
    metadata: Mapping[str, str]

    @property
    def tries(self) -> int:
        """How often it was tried in vain."""
        value = self.metadata.get(TRIES, "")
        return int(value) if value.isascii() and value.isdigit() else 0

    @property
    def given_up(self) -> str:
        """Why it is given up; empty while it is not."""
        return self.metadata.get(GIVEN_UP, "")

    def read(self) -> list[Any]:
        """Its events, not decoded. Raises InvalidRequestError when it is no letter."""
        if self.size > MAX_LETTER_BYTES:
            raise InvalidRequestError(f"it has {self.size} bytes; a letter has at most {MAX_LETTER_BYTES}")
        content = self._blob.download_blob(**self._unchanged).readall()
        try:
            events = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise InvalidRequestError(f"it is not JSON: {error}") from None
        if not isinstance(events, list):
            raise InvalidRequestError("it is not a JSON array of events")
        return events

    def keep(self, events: list[Any] | None, tries: int) -> None:
        """Leave it for a later tick, with these events when some are given."""
        self._write(events, {TRIES: str(tries)})

    def give_up(self, events: list[Any] | None, reason: str) -> None:
        """Decide, in one write, that it is not tried again; then put it aside."""
        self._write(events, {GIVEN_UP: one_line(reason)}).put_aside()

    def put_aside(self) -> None:
        """Move a letter that is given up."""
        target = f"{UNRETURNED_FOLDER}{self.path}"
        content = self._blob.download_blob(**self._unchanged).chunks()
        self.container.upload_blob(target, content, overwrite=True, metadata={REASON: self.given_up})
        self.remove()
        logger.warning("dead letter %s is now in %s: %s", self.path, UNRETURNED_FOLDER, self.given_up)

    def remove(self) -> None:
        """Delete it."""
        self._blob.delete_blob(**self._unchanged)

    @property
    def _blob(self) -> BlobClient:
        return self.container.get_blob_client(self.path)

    @property
    def _unchanged(self) -> dict[str, Any]:
        from azure.core import MatchConditions

        return {"etag": self.etag, "match_condition": MatchConditions.IfNotModified}

    def _write(self, events: list[Any] | None, metadata: dict[str, str]) -> Letter:
        if events is None:
            answer = self._blob.set_blob_metadata(metadata, **self._unchanged)
        else:
            content = json.dumps(events).encode()
            answer = self._blob.upload_blob(content, overwrite=True, metadata=metadata, **self._unchanged)
        return dataclasses.replace(self, etag=str(answer["etag"]), metadata=metadata)


def oldest_letters(blobs: BlobServiceClient, limit: int) -> list[str]:
    """Paths of the letters, those first that were not changed for longest: what has failed does not block the others.
    None while there is no container.
    """
    from azure.core.exceptions import ResourceNotFoundError

    def age(letter: BlobProperties) -> Any:
        # Nothing of such a size is of Event Grid; it must not be in the way of what is.
        return letter.size > MAX_LETTER_BYTES, letter.last_modified

    try:
        letters = heapq.nsmallest(limit, _letters(blobs.get_container_client(DEAD_LETTERS)), key=age)
    except ResourceNotFoundError:
        return []
    return [each.name for each in letters]


def _letters(container: ContainerClient) -> Iterator[BlobProperties]:
    """All that is named like a letter, outside the folder of those that are not tried again."""
    from azure.storage.blob import BlobPrefix

    for each in container.walk_blobs(delimiter="/"):
        if each.name == UNRETURNED_FOLDER:
            continue
        found: Any = container.list_blobs(name_starts_with=each.name) if isinstance(each, BlobPrefix) else [each]
        yield from (blob for blob in found if blob.name.endswith(".json"))


def find_letter(blobs: BlobServiceClient, path: str) -> Letter:
    """A letter as it is now. Raises ResourceNotFoundError."""
    container = blobs.get_container_client(DEAD_LETTERS)
    found = container.get_blob_client(path).get_blob_properties()
    return Letter(container, path, str(found.etag), int(found.size), found.metadata or {})


def unreturned_report(blobs: BlobServiceClient) -> str:
    """`ok`, or how many letters could not be put back, and what to do. Raises ResourceNotFoundError when there is no
    container.
    """
    names = blobs.get_container_client(DEAD_LETTERS).list_blob_names(name_starts_with=UNRETURNED_FOLDER)
    count = sum(1 for _ in itertools.islice(names, MAX_COUNTED))
    if not count:
        return "ok"
    return (
        f"{count}{' or more' if count == MAX_COUNTED else ''} unreturned: see container {DEAD_LETTERS}, folder "
        f"{UNRETURNED_FOLDER}; each blob's metadata `{REASON}` says why. Mend that, then move the blob out of the "
        "folder to have it tried again, or delete it"
    )


def one_line(reason: object) -> str:
    """A text as it may stand in a header, which metadata are: one line of ASCII, not too long."""
    text = " ".join(str(reason).split()).encode("ascii", "backslashreplace").decode()
    return "".join(each for each in text if each.isprintable())[:1000].strip() or type(reason).__name__
