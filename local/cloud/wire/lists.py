"""Encoding of lists: `{"value": […], "nextLink": …}`."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from local.cloud.rules.listing import Page
from local.cloud.wire.http import Json, Reply, Request


def list_reply(request: Request, base_url: str, documents: Sequence[Json], page: Page | None = None) -> Reply:
    """A list, with the link to its next page when there is one."""
    body: Json = {"value": list(documents)}
    if page is not None and page.next_query is not None:
        body["nextLink"] = f"{base_url}{request.path}?{urlencode(page.next_query)}"
    return Reply(body)
