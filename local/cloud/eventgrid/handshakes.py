"""The handshake that proves that an endpoint wants the events."""

from __future__ import annotations

import json
import time
import uuid
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from local.cloud.clock import utc_text
from local.cloud.errors import BadRequestError
from local.cloud.eventgrid.destinations import Endpoint
from local.cloud.eventgrid.schemas import CLOUD_EVENTS

SECONDS = 30.0
ORIGIN = "eventgrid.azure.net"


async def handshake(
    session: aiohttp.ClientSession, endpoint: Endpoint, topic: str, subscription: str, schema: str
) -> None:
    """Ask an endpoint whether it wants the events, in the way of the schema that they are delivered in.

    Raises BadRequestError, with Event Grid's code, unless it agrees.
    """
    try:
        if schema == CLOUD_EVENTS:
            await _ask_for_permission(session, endpoint, subscription)
        else:
            await _validate(session, endpoint, topic, subscription)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _refused(endpoint, f"it cannot be reached ({type(error).__name__}: {error})") from error


async def _validate(session: aiohttp.ClientSession, endpoint: Endpoint, topic: str, subscription: str) -> None:
    """https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema"""
    code = str(uuid.uuid4())
    event = {
        "id": str(uuid.uuid4()),
        "topic": topic,
        "subject": "",
        "data": {"validationCode": code},
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": utc_text(time.time()),
        "metadataVersion": "1",
        "dataVersion": "2",
    }
    headers = {"aeg-event-type": "SubscriptionValidation", "aeg-subscription-name": subscription.upper()}
    async with session.post(
        endpoint.url, json=[event], headers=headers, timeout=aiohttp.ClientTimeout(SECONDS)
    ) as response:
        text = await response.text()
        status = response.status
    if status != 200:
        raise _refused(endpoint, f"it answered {status}: {text[:200]!r}")
    try:
        answer = json.loads(text).get("validationResponse")
    except (ValueError, AttributeError) as error:
        raise _refused(endpoint, f"it answered {text[:200]!r} instead of a validationResponse") from error
    if answer != code:
        raise _refused(endpoint, f"it answered the validation code {answer!r}, not the one sent")


async def _ask_for_permission(session: aiohttp.ClientSession, endpoint: Endpoint, subscription: str) -> None:
    """https://learn.microsoft.com/azure/event-grid/end-point-validation-cloud-events-schema"""
    headers = {"WebHook-Request-Origin": ORIGIN, "aeg-subscription-name": subscription.upper()}
    async with session.options(endpoint.url, headers=headers, timeout=aiohttp.ClientTimeout(SECONDS)) as response:
        allowed = response.headers.get("WebHook-Allowed-Origin", "")
        status = response.status
    if status != 200:
        raise _refused(endpoint, f"it answered {status} to OPTIONS")
    if allowed not in (ORIGIN, "*"):
        raise _refused(endpoint, f"it allows the origin {allowed!r}, not {ORIGIN}")


def _refused(endpoint: Endpoint, reason: str) -> BadRequestError:
    shown = urlunsplit(urlsplit(endpoint.url)._replace(query=""))
    return BadRequestError(
        f"Webhook validation handshake failed for {shown}: {reason}.",
        code="URL validation",
    )
