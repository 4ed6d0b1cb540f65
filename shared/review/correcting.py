"""A person says what an image shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shared.errors import ConflictError, InvalidRequestError, NotFoundError
from shared.ledger import Image, Ledger, normalised_etag
from shared.results.images import ImageResult, image_result
from shared.review.corrections import Correction, Corrections
from shared.review.names import checked, known_labels, remember

if TYPE_CHECKING:
    from shared.clients import Clients


def correct(clients: Clients, path: str, etag: str, labels: Sequence[str], who: str) -> Correction:
    """Keep the labels that a person confirmed or corrected, of the content `etag` of an image that they looked at; none
    at all say that it shows none of the labels. The same again is kept no second time.

    Raises NotFoundError for an image that is not known, ConflictError when it has another content by now, and
    InvalidRequestError for what can't be labels.
    """
    ledger, container = Ledger(clients.tables), clients.settings.images_container
    wanted = normalised_etag(etag)
    if not wanted:
        raise InvalidRequestError("etag is empty; it must be that of the content that was looked at", "etag")
    history = ledger.history(container, path)
    if not history:
        raise NotFoundError(f"there is no image {path}, or it has not been looked at yet")
    newest = max(history, key=lambda row: str(row["arrived"]))
    row = next((each for each in history if each["etag"] == wanted), None)
    if row is None or row is not newest:
        raise ConflictError(
            f"image {path} was replaced meanwhile: its content is {newest['etag']}, not {wanted}; look at it again"
        )
    known = known_labels(clients)
    given = checked(labels, known)
    remember(clients, given, known)
    result = _result(clients, ledger, row)
    correction = Correction(
        container=container,
        path=path,
        etag=wanted,
        labels=given,
        predicted=result.labels if result else (),
        model=result.model if result else "",
        who=who,
        when="",
        source_container=str(row["source_container"]),
        source_path=str(row["source_path"]),
    )
    return Corrections(clients.tables).keep(correction)


def _result(clients: Clients, ledger: Ledger, row: dict[str, Any]) -> ImageResult | None:
    """What was last said of a content by a model."""
    batch = row.get("rescored_batch") or row.get("batch")
    if not batch:
        return None
    image = Image(row["container"], row["path"], row["etag"], "", "", "")
    return image_result(clients, ledger, batch, image.key)


def correction_report(correction: Correction) -> dict[str, Any]:
    """What is told of a correction."""
    return {
        "path": correction.path,
        "etag": correction.etag,
        "labels": list(correction.labels),
        "predicted": list(correction.predicted),
        "model": correction.model or None,
        "who": correction.who,
        "when": correction.when,
    }
