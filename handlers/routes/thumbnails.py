"""Small pictures of images."""

from typing import Annotated

import azure.functions as func
from msgspec import Meta

from handlers.contract.base import Asked
from handlers.http import Answer, File, Key, api
from shared.clients import clients
from shared.errors import ImageRejectedError, NotFoundError


class ThumbnailQuery(Asked):
    """How large."""

    size: Annotated[int, Meta(ge=16, le=1024, description="px, wide and high at most")] = 256


@api.get(
    "thumbnails/{*path}",
    Key.READ,
    query=ThumbnailQuery,
    answers={200: {"image/jpeg": File("the picture")}},
    raises=[NotFoundError, ImageRejectedError],
    tag="images",
)
def thumbnail(path: str, query: ThumbnailQuery, request: func.HttpRequest) -> Answer:
    """A small picture of an image, upright, as it is now."""
    from shared.thumbnails import find_thumbnail, make_thumbnail

    found = find_thumbnail(clients(), path, query.size)
    headers = {"ETag": found.etag, "Cache-Control": "private, no-cache"}
    if found.etag in (request.headers.get("if-none-match") or ""):
        # Before anything is read and decoded.
        return Answer(None, 304, headers, "image/jpeg")
    return Answer(make_thumbnail(clients(), found), headers=headers, media_type="image/jpeg")
