"""The sweep itself: lists the images container from where the last tick left off, and tells what the ledger misses."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.blob_listing import MAX_PAGE_SIZE, ListedBlob, Page, list_pages
from shared.ledger.table import in_parallel
from shared.locks import lock
from shared.queues import FOUND_IMAGES
from shared.sweep.found import IMAGES_PER_MESSAGE, FoundImage, message_of, named
from shared.sweep.lookup import unnoted

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, ContainerClient

    from shared.clients import Clients

STATE_PATH, LOCK_PATH = "sweep/state.json", "sweep/lock"
# What two of the service's machines' clocks may differ by.
CLOCK_MARGIN = dt.timedelta(minutes=5)
BEGINNING = dt.datetime.min.replace(tzinfo=dt.UTC)
# A tick ends before the function's time is over (host.json), and what is found is told and noted now and then, so that
# a tick that is killed is not in vain.
TICK_SECONDS = 900.0
PAGES_PER_STEP = 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far sweeping has come. Blobs that were last written before `since` have been looked at by earlier sweeps.
    The present one has listed everything before `marker`, and began at `started`. Texts are empty where there is none;
    times are in ISO 8601.
    """

    since: str = ""
    started: str = ""
    marker: str = ""

    def completed(self, grace: dt.timedelta) -> Progress:
        """The next sweep's: what was written after this one began, or so short before that it was passed over."""
        since = dt.datetime.fromisoformat(self.started) - grace - CLOCK_MARGIN
        return Progress(since=since.isoformat())


class _State:
    """The blob with the progress. Written only while nobody else has written it."""

    def __init__(self, blob: BlobClient) -> None:
        from azure.core.exceptions import ResourceNotFoundError

        self._blob = blob
        self._etag = ""
        self.progress = Progress()
        try:
            download = blob.download_blob()
        except ResourceNotFoundError:
            return
        self._etag = str(download.properties.etag)
        try:
            found = Progress(**json.loads(download.readall()))
            for moment in (found.since, found.started):
                dt.datetime.fromisoformat(moment or BEGINNING.isoformat())
            self.progress = found
        except (ValueError, TypeError):
            logger.warning("%s can't be read; the sweep begins anew, with all that is there", STATE_PATH)

    def write(self, progress: Progress) -> None:
        """Raises ResourceModifiedError or ResourceExistsError when another sweep has written it since."""
        from azure.core import MatchConditions

        condition: dict[str, Any] = (
            {"overwrite": True, "etag": self._etag, "match_condition": MatchConditions.IfNotModified}
            if self._etag
            else {"overwrite": False}
        )
        content = json.dumps(dataclasses.asdict(progress))
        self._etag = str(self._blob.upload_blob(content, **condition)["etag"])
        self.progress = progress


def sweep(clients: Clients, now: Callable[[], float] = time.monotonic, *, page_size: int = MAX_PAGE_SIZE) -> int:
    """Go on with the sweep, for as long as a tick lasts or to its end; the next call begins the next one. `now` is a
    clock in s. Returns how many images were found. No effect while another sweep runs, or there are no containers yet.
    """
    from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError

    deadline = now() + TICK_SECONDS
    try:
        with lock(clients, LOCK_PATH) as is_mine:
            return _sweep(clients, lambda: now() >= deadline, page_size) if is_mine else 0
    except ResourceNotFoundError as error:
        logger.info("nothing can be swept yet: %s", error.reason)
    except (ResourceModifiedError, ResourceExistsError):
        logger.warning("another sweep has gone on in between; this one ends")
    return 0


def _sweep(clients: Clients, is_late: Callable[[], bool], page_size: int) -> int:
    settings = clients.settings
    grace = dt.timedelta(minutes=settings.sweep_grace_minutes)
    state = _State(clients.blobs.get_blob_client(settings.work_container, STATE_PATH))
    progress, candidates, total = state.progress, list[ListedBlob](), 0
    since = dt.datetime.fromisoformat(progress.since) if progress.since else BEGINNING
    container = clients.blobs.get_container_client(settings.images_container)
    for number, page in enumerate(_pages_from(container, state, page_size), 1):
        candidates += (blob for blob in page.blobs if since <= blob.last_modified <= page.now - grace)
        started = progress.started or page.now.isoformat()
        progress = dataclasses.replace(progress, started=started, marker=page.next_marker)
        ends = not page.next_marker or is_late()
        if ends or number % PAGES_PER_STEP == 0:
            total += _tell_lost(clients, candidates)
            candidates.clear()
            state.write(progress if page.next_marker else progress.completed(grace))
        if ends:
            break
    return total


def _pages_from(container: ContainerClient, state: _State, page_size: int) -> Iterator[Page]:
    """The pages from where the sweep is. A marker that is not taken any more sends it back to the beginning."""
    from azure.core.exceptions import HttpResponseError

    try:
        yield from list_pages(container, marker=state.progress.marker, page_size=page_size)
    except HttpResponseError as error:
        if error.status_code == 400 and state.progress.marker:
            logger.warning("the listing can't go on, so the sweep begins anew: %s", error.reason)
            state.write(Progress(since=state.progress.since))
        raise


def _tell_lost(clients: Clients, candidates: Sequence[ListedBlob]) -> int:
    """Put those of the blobs that the ledger does not know on the queue."""
    if not candidates:
        return 0
    lost = unnoted(clients.tables, [named(clients, FoundImage(blob.path, blob.etag)) for blob in candidates])
    found = [FoundImage(image.path, image.etag) for image in lost]
    queue = clients.queue(FOUND_IMAGES)
    in_parallel(
        lambda start: queue.send_message(message_of(found[start : start + IMAGES_PER_MESSAGE])),
        range(0, len(found), IMAGES_PER_MESSAGE),
    )
    if lost:
        logger.warning("%d images were found whose events did not come, the first of them %s", len(lost), lost[0].path)
    return len(lost)
