"""An outside client: HTTP with a function key, and Azure Storage with a connection string."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from azure.core.exceptions import HttpResponseError, ServiceRequestError
from azure.storage.blob import BlobServiceClient

UPLOADS_AT_ONCE = 8
WORK_CONTAINER = "labelloop"


class DemoError(Exception):
    """The loop did not do what it should; the message says what."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `body` is its JSON, or None."""

    status: int
    body: Any


@dataclass(frozen=True)
class Client:
    """The app as seen from outside, by the values of `Stack.environment`."""

    environment: Mapping[str, str]

    @cached_property
    def storage(self) -> BlobServiceClient:
        return BlobServiceClient.from_connection_string(self.environment["DATA_STORAGE"])

    def request(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> Answer:
        """Call the API. An answer that tells of an error is an answer, too."""
        headers = {"x-functions-key": self.environment["FUNCTIONS_KEY"]}
        if content_type:
            headers["content-type"] = content_type
        url = self.environment["FUNCTIONS_URL"] + path
        request = urllib.request.Request(url, data=body, headers=headers, method=method)  # noqa: S310 - our own host
        try:
            with urllib.request.urlopen(request, timeout=120) as response:  # noqa: S310
                return Answer(response.status, _json(response.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, _json(error.read()))

    def get(self, path: str) -> Any:
        """The body of an answer that must be 200. Raises DemoError."""
        answer = self.request("GET", path)
        if answer.status != 200:
            raise DemoError(f"GET {path} answered {answer.status}: {answer.body}")
        return answer.body

    def upload(self, container: str, files: Iterable[tuple[str, bytes]]) -> int:
        """Upload blobs, several at once; returns their number."""
        target = self.storage.get_container_client(container)
        with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
            jobs = [pool.submit(target.upload_blob, name, content, overwrite=True) for name, content in files]
            for job in jobs:
                job.result()
        return len(jobs)

    def blobs(self, container: str, suffix: str) -> list[str]:
        """Names of a container's blobs that end so, sorted."""
        names = self.storage.get_container_client(container).list_blob_names()
        return sorted(str(name) for name in names if str(name).endswith(suffix))

    def read(self, container: str, path: str) -> bytes:
        """A blob's content."""
        content: bytes = self.storage.get_blob_client(container, path).download_blob().readall()
        return content

    def report(self, export: str) -> dict[str, Any] | None:
        """The report on a label export (`<container>/<path>`), or None when it was not looked at yet."""
        for each in self.get("/api/exports")["exports"]:
            if each["export"] == export:
                report: dict[str, Any] = self.get(f"/api/exports/{each['id']}")
                return report
        return None


def wait_for(what: str, look: Callable[[], Any], *, seconds: float, every: float = 0.3) -> Any:
    """Look again and again until the answer is true. Raises DemoError when the time is over."""
    deadline = time.monotonic() + seconds
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            found = look()
        except (HttpResponseError, ServiceRequestError, OSError, http.client.HTTPException) as error:
            # The stack may be starting again; the deadline bounds how long that may take.
            found, last = None, error
        if found:
            return found
        time.sleep(every)
    raise DemoError(f"{what} did not happen within {seconds:.0f} s" + (f" (last error: {last})" if last else ""))


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace") or None
