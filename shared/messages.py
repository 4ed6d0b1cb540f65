"""Putting messages on queues that may not be there yet."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.clients import Clients


def put(clients: Clients, queue: str, content: Mapping[str, Any], *, delay: int = 0) -> None:
    """Put JSON on a queue, to be seen after `delay` seconds (at most seven days)."""
    from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

    client = clients.queue(queue)
    message = json.dumps(content)
    try:
        client.send_message(message, visibility_timeout=delay)
    except ResourceNotFoundError:
        # An app that was upgraded works on before it is provisioned again.
        with contextlib.suppress(ResourceExistsError):
            client.create_queue()
        client.send_message(message, visibility_timeout=delay)
