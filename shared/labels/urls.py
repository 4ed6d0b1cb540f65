"""Image URLs as exports spell them."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import quote

from shared.labels.model import MAX_URL_CHARS, shortened
from shared.labels.names import is_text

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def image_url(url: object, folder: str, container_url: str) -> str:
    """The URL of an image, which `url` names as a whole or as a path within the container.

    A path is relative to `folder`, that of the export's file; one that begins with a slash is relative to the container
    (`container_url`, empty if unknown: then the path itself is the answer). Raises ValueError, which says why.
    """
    if not (isinstance(url, str) and (url := url.strip())):
        raise ValueError(f"names no image, but has {shortened(url)} for it" if url else "names no image")
    if len(url) > MAX_URL_CHARS:
        raise ValueError(f"image {shortened(url)} has {len(url)} characters; {MAX_URL_CHARS} are allowed")
    if not is_text(url) or "\n" in url or "\r" in url:
        raise ValueError(f"image {shortened(url)} has characters that no URL has")
    if "://" in url:
        return url
    if _SCHEME.match(url):
        raise ValueError(f"image {shortened(url)} is neither a URL nor a relative path")
    path = url.replace("\\", "/")
    path = posixpath.normpath(path.lstrip("/") if path.startswith("/") else posixpath.join(folder, path))
    if path == "." or path.split("/")[0] == "..":
        raise ValueError(f"image {shortened(url)} names no file of the container")
    return f"{container_url.rstrip('/')}/{quote(path)}" if container_url else path
