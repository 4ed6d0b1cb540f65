"""The page: the static files of the folder `dashboard`, for everybody. What they show the API tells, with a key."""

import functools
from collections.abc import Mapping
from pathlib import Path

from handlers.http import Answer, File, Key, api
from shared.errors import NotFoundError

FOLDER = Path(__file__).resolve().parents[2] / "dashboard"
INDEX = "index.html"
MEDIA_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
HEADERS = {
    # Scripts and styles are files of the page alone; thumbnails are shown from memory (`blob:`).
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
ANSWERS = {200: {media_type: File("a file of the page") for media_type in MEDIA_TYPES.values()}}


@functools.cache
def files() -> Mapping[str, bytes]:
    """The files by path within the folder. Nothing else is ever served: a path is looked up here, not on disk."""
    found = (path for path in sorted(FOLDER.rglob("*")) if path.suffix in MEDIA_TYPES and path.is_file())
    return {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in found}


@api.get("dashboard", Key.ANONYMOUS, answers={200: {"text/html": File("the page")}}, raises=[NotFoundError])
def dashboard() -> Answer:
    """The page to run LabelLoop by."""
    return _file(INDEX)


# The host tries functions in the order of their names, and `{*file}` takes an empty path, too: this one comes after
# `dashboard`.
@api.get("dashboard/{*file}", Key.ANONYMOUS, answers=ANSWERS, raises=[NotFoundError])
def dashboard_file(file: str) -> Answer:
    """A file of the page."""
    return _file(file)


def _file(path: str) -> Answer:
    content = files().get(path)
    if content is None:
        raise NotFoundError(f"the page has no file {path}")
    return Answer(content, headers=HEADERS, media_type=MEDIA_TYPES[Path(path).suffix])
