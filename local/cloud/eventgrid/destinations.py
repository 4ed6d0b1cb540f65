"""Where a subscription's events go: the URL behind a destination."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from local.cloud.errors import BadRequestError
from local.config import StackConfig

Json = dict[str, Any]

BLOBS_WEBHOOK = "/runtime/webhooks/blobs"
_FUNCTION = re.compile(
    r"^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Web/sites/([^/]+)/functions/([^/]+)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Endpoint:
    """A URL to POST to. Azure resources and webhooks differ in the statuses after which delivery is not tried again."""

    url: str
    is_webhook: bool

    @property
    def final_statuses(self) -> frozenset[int]:
        """learn.microsoft.com, "Event Grid message delivery and retry"."""
        return frozenset({400, 401, 403, 413}) if self.is_webhook else frozenset({400, 403, 413})


class Destinations:
    """Resolves destinations against this stack's function app."""

    def __init__(self, config: StackConfig) -> None:
        self._config = config

    def check(self, destination: Json) -> None:
        """Raises BadRequestError for a destination that could never be delivered to."""
        kind, properties = destination.get("endpointType"), destination.get("properties") or {}
        if kind == "AzureFunction":
            match = _FUNCTION.match(str(properties.get("resourceId")))
            if match is None:
                raise BadRequestError(
                    f"'{properties.get('resourceId')}' is not the resource id of a function.", code="InvalidRequest"
                )
            if match.group(1).lower() != self._config.function_app_name.lower():
                raise BadRequestError(
                    f"The function app '{match.group(1)}' does not exist; the local cloud has "
                    f"'{self._config.function_app_name}'.",
                    code="InvalidRequest",
                )
        elif kind == "WebHook":
            url = urlsplit(str(properties.get("endpointUrl")))
            if url.scheme != "https" and url.hostname not in ("127.0.0.1", "localhost"):
                raise BadRequestError("The webhook's endpointUrl must be an HTTPS URL.", code="InvalidRequest")
            if not url.hostname:
                raise BadRequestError("The webhook has no endpointUrl.", code="InvalidRequest")
        else:
            raise BadRequestError(
                f"The endpoint type '{kind}' is not known to the local cloud; AzureFunction and WebHook are.",
                code="InvalidRequest",
            )

    def endpoint(self, destination: Json) -> Endpoint:
        """The URL to deliver to now. Keys are read at each call, since the host may make new ones."""
        properties = destination.get("properties") or {}
        if destination.get("endpointType") == "AzureFunction":
            match = _FUNCTION.match(str(properties.get("resourceId")))
            if match is None:
                raise BadRequestError(f"'{properties.get('resourceId')}' is not the resource id of a function.")
            key = self.host_keys()["system"].get("eventgrid_extension", "")
            query = f"functionName={quote(match.group(2))}&code={quote(key)}"
            return Endpoint(f"{self._config.functions_url}/runtime/webhooks/EventGrid?{query}", is_webhook=False)
        url = urlsplit(str(properties.get("endpointUrl")))
        if url.hostname == "127.0.0.1" and url.path == BLOBS_WEBHOOK:
            # The site's own host name, which on this machine is a port. It may be another one since the subscription
            # was made; and App Service ends TLS at its front end, the site itself listens on plain HTTP.
            site = urlsplit(self._config.functions_url)
            url = url._replace(scheme=site.scheme, netloc=site.netloc)
        return Endpoint(urlunsplit(url), is_webhook=True)

    def host_keys(self) -> Json:
        """The Functions host's key file; empty keys while the host has not written it yet."""
        try:
            keys: Json = json.loads(self._config.host_keys.read_text())
        except FileNotFoundError:
            return {"master": "", "function": "", "system": {}}
        return {"master": "", "function": "", **keys, "system": keys.get("system") or {}}
