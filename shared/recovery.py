"""Events that Event Grid gave up on, put back as if they had been delivered.

What is put back may be put back again, and a letter goes only after its events.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.dead_letters import Letter, find_letter, oldest_letters, one_line
from shared.errors import InvalidRequestError
from shared.event_grid import BLOB_CREATED, RUN_EVENTS, BlobEvent, Event, announce_ended_job, blob_event
from shared.images import receive_told
from shared.training import EXPORTS_FOLDER, LandedExport, announce_export

if TYPE_CHECKING:
    from shared.clients import Clients
    from shared.ledger import Ledger

# A tick takes what it gets done before the next one, which is five minutes later.
TICK_SECONDS = 240.0
LETTERS_PER_TICK = 2000
MAX_TRIES = 5
TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

logger = logging.getLogger(__name__)


def put_back_dead_letters(clients: Clients, ledger: Ledger, now: Callable[[], float] = time.monotonic) -> None:
    """Put back the events of the dead letters, as many as the time allows. `now` is a clock in s.

    What can't be understood, or failed MAX_TRIES times, is put aside. Failures of storage that pass do not count.
    """
    from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

    deadline = now() + TICK_SECONDS
    failures: list[Exception] = []
    for path in oldest_letters(clients.blobs, LETTERS_PER_TICK):
        if now() >= deadline:
            logger.info("the time for dead letters is over; the next tick goes on")
            break
        try:
            letter = find_letter(clients.blobs, path)
            if letter.given_up:
                letter.put_aside()
            else:
                _put_back(clients, ledger, letter, lambda: now() >= deadline)
        except (ResourceNotFoundError, ResourceModifiedError):
            logger.info("dead letter %s is in other hands", path)
        except Exception as error:
            logger.exception("dead letter %s could not be changed; the next tick tries again", path)
            failures.append(error)
    if failures:
        raise ExceptionGroup(f"{len(failures)} dead letters could not be changed", failures)


def _put_back(clients: Clients, ledger: Ledger, letter: Letter, is_late: Callable[[], bool]) -> None:
    try:
        events = letter.read()
    except InvalidRequestError as error:
        letter.give_up(None, str(error))
        return
    rest: list[Any] = []
    failures: list[Exception] = []
    for document in events:
        if is_late():
            rest.append(document)
            continue
        try:
            _return_event(clients, ledger, Event.from_document(document))
        except Exception as error:
            trace = None if isinstance(error, InvalidRequestError) else error
            logger.warning("dead letter %s: not put back: %s", letter.path, one_line(error), exc_info=trace)
            rest.append(document)
            failures.append(error)
    if not rest:
        letter.remove()
        logger.info("dead letter %s: put back", letter.path)
        return
    # What was put back is taken out: an export that is announced again could be trained again.
    changed = rest if len(rest) < len(events) else None
    lasting = [error for error in failures if not _passes(error)]
    tries = letter.tries + bool(lasting)
    hopeless = tries >= MAX_TRIES or all(isinstance(error, InvalidRequestError) for error in lasting)
    if hopeless and len(lasting) == len(rest):
        letter.give_up(changed, "; ".join(dict.fromkeys(map(str, lasting))))
    else:
        letter.keep(changed, tries)


def _passes(error: Exception) -> bool:
    """Whether a failure is one of storage that will be over."""
    from azure.core.exceptions import (
        HttpResponseError,
        IncompleteReadError,
        ServiceRequestError,
        ServiceResponseError,
    )

    if isinstance(error, HttpResponseError) and error.status_code in TRANSIENT_STATUSES:
        return True
    return isinstance(error, IncompleteReadError | ServiceRequestError | ServiceResponseError)


def _return_event(clients: Clients, ledger: Ledger, event: Event) -> None:
    """Raises InvalidRequestError when it is an event that no function of the app takes."""
    if event.type == BLOB_CREATED:
        _return_blob(clients, ledger, blob_event(event))
    elif event.type in RUN_EVENTS:
        announce_ended_job(clients, event)
    else:
        raise InvalidRequestError(f"event {event.id}: nothing takes events of type {event.type!r}")


def _return_blob(clients: Clients, ledger: Ledger, told: BlobEvent) -> None:
    """Take in what the blob is now, whatever it was when the event was sent. No effect when it is gone, nor when it was
    taken in before: then it is not read.
    """
    from azure.core.exceptions import ResourceNotFoundError

    settings = clients.settings
    is_image = told.container == settings.images_container
    if not is_image and not told.path.startswith(EXPORTS_FOLDER):
        raise InvalidRequestError(f"blob {told.container}/{told.path} is neither a new image nor a label export")
    try:
        found = clients.blobs.get_blob_client(told.container, told.path).get_blob_properties()
    except ResourceNotFoundError:
        return
    if is_image:
        receive_told(clients, ledger, told.path, str(found.etag))
    else:
        announce_export(clients, LandedExport(told.container, told.path, str(found.etag)))
