"""A blob service with a million images that need not be uploaded: `photos/2026/IMG_0000000.jpg` and on.

It answers what reading a data set's images asks: listings, page by page, of images that are made up on the way; and
blobs of other containers, which are kept in a folder. It runs in a process of its own, so that neither its time nor its
memory is in what is measured. It checks no signature and knows no conditions: it is no place to test anything.
"""

from __future__ import annotations

import hashlib
import http.server
import sys
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

IMAGES, FOLDER = "photos", "2026/"
SIZE = 150_000
_ENTRY = (
    "<Blob><Name>{path}</Name><Properties><Creation-Time>{time}</Creation-Time><Last-Modified>{time}</Last-Modified>"
    "<Etag>{etag}</Etag><Content-Length>{size}</Content-Length><Content-Type>image/jpeg</Content-Type>"
    "<Content-Encoding /><Content-Language /><Content-CRC64 /><Content-MD5 /><Cache-Control /><Content-Disposition />"
    "<BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred>"
    "<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted>"
    "</Properties><OrMetadata /></Blob>"
)


def path_of(number: int) -> str:
    """Path of an image."""
    return f"{FOLDER}IMG_{number:07}.jpg"


def etag_of(number: int) -> str:
    """ETag of an image."""
    return f"0x8D{number:013X}"


class Service(http.server.ThreadingHTTPServer):
    """Serves `images` images, and the blobs that are put, from files in `folder`."""

    def __init__(self, images: int, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.images, self.folder = images, folder
        self.blocks: dict[str, bytes] = {}

    def file_of(self, path: str) -> Path:
        return self.folder / hashlib.sha256(unquote(path).encode()).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        if query.get("comp") == "list":
            self._answer(200, _page(query, self.server.images), {"Content-Type": "application/xml"})
            return
        file = self.server.file_of(address.path)
        if not file.exists():
            self._answer(404, b"", {"x-ms-error-code": "BlobNotFound"})
            return
        size = file.stat().st_size
        if self.command == "HEAD":
            self._answer(200, b"", {"Content-Length": str(size), "ETag": '"1"'})
            return
        wanted = self.headers.get("x-ms-range", "bytes=0-").removeprefix("bytes=").split("-")
        first, last = int(wanted[0]), min(int(wanted[1] or size), size - 1)
        with file.open("rb") as stream:
            stream.seek(first)
            content = stream.read(last + 1 - first)
        self._answer(206, content, {"Content-Range": f"bytes {first}-{last}/{size}", "ETag": '"1"'})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        address = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "comp=block&" in f"{address.query}&":
            self.server.blocks.setdefault(address.path, b"")
            self.server.blocks[address.path] += content
        else:
            content = self.server.blocks.pop(address.path, content)
            self.server.file_of(address.path).write_bytes(content)
        self._answer(201, b"", {"ETag": '"1"'})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "x-ms-blob-type": "BlockBlob", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def _page(query: dict[str, str], images: int) -> bytes:
    first = int(query.get("marker", 0))
    last = min(images, first + int(query.get("maxresults", 5000)))
    time = formatdate(0, usegmt=True)
    entries = "".join(
        _ENTRY.format(path=path_of(number), etag=etag_of(number), time=time, size=SIZE) for number in range(first, last)
    )
    marker = last if last < images else ""
    body = f'<EnumerationResults ContainerName="{IMAGES}"><Blobs>{entries}</Blobs><NextMarker>{marker}</NextMarker>'
    return f'<?xml version="1.0" encoding="utf-8"?>{body}</EnumerationResults>'.encode()


if __name__ == "__main__":
    with Service(int(sys.argv[1]), Path(sys.argv[2])) as service:
        print(service.server_address[1], flush=True)
        service.serve_forever()
