"""Managed identity: tokens shaped like Microsoft Entra's, signed with a key of this stack."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import time
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from local.cloud.errors import AuthenticationFailedError, BadRequestError
from local.cloud.rules.identities import principal_of
from local.config import StackConfig

LIFETIME_SECONDS = 24 * 3600
# Clocks of one machine agree, but a token must not be refused for a rounded second.
NOT_BEFORE_SLACK_SECONDS = 60

STORAGE_AUDIENCE = "https://storage.azure.com"
EVENT_GRID_AUDIENCE = "https://eventgrid.azure.net"

# The function app's identity, and somebody who may do everything: a test's, or a person's who gives and takes roles.
APP_CLIENT_ID = str(uuid.uuid5(uuid.NAMESPACE_URL, "app"))
OWNER_CLIENT_ID = str(uuid.uuid5(uuid.NAMESPACE_URL, "owner"))


class Principal(NamedTuple):
    """A service principal: its application id and its object id."""

    client_id: str
    object_id: str


class IdentityProvider:
    """Issues and checks tokens. The key is kept in `<state>/cloud/token.key`, so tokens outlive a restart."""

    def __init__(self, config: StackConfig) -> None:
        self._config = config
        path = config.state / "cloud" / "token.key"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
        self._key = path.read_bytes()

    def compute_secret(self, identities: Sequence[Principal]) -> str:
        """The `MSI_SECRET` of a cluster's nodes: it names the cluster's identities, the default one first.

        With it they get tokens of these and of no others; they do not know the function app's secret.
        """
        names = _base64url(json.dumps(identities).encode())
        return f"{names}.{self._signature_of_compute(names)}"

    def _signature_of_compute(self, names: str) -> str:
        return hmac.new(self._key, f"compute {names}".encode(), hashlib.sha256).hexdigest()

    def token_for_app_service(self, header: str | None, resource: str | None, client_id: str | None) -> dict[str, str]:
        """App Service's protocol, api-version 2019-08-01 (azure-identity, `_credentials/app_service.py`)."""
        if header is None or not hmac.compare_digest(header.encode(), self._config.identity_header.encode()):
            raise AuthenticationFailedError("The header X-IDENTITY-HEADER is missing or wrong.")
        app = Principal(APP_CLIENT_ID, principal_of(APP_CLIENT_ID))
        return self._answer(resource, [app], client_id)

    def token_for_compute(self, secret: str | None, resource: str | None, client_id: str | None) -> dict[str, str]:
        """Azure ML compute's protocol, api-version 2017-09-01 (azure-identity, `_credentials/azure_ml.py`)."""
        names, _, signature = (secret or "").partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature_of_compute(names).encode()):
            raise AuthenticationFailedError("The header 'secret' is missing or wrong.")
        identities = [Principal(*each) for each in json.loads(_from_base64url(names))]
        return self._answer(resource, identities, client_id)

    def _answer(self, resource: str | None, identities: Sequence[Principal], client_id: str | None) -> dict[str, str]:
        if not resource:
            raise BadRequestError("The query parameter 'resource' is missing.")
        found = next((each for each in identities if client_id in (None, "", each.client_id)), None)
        if found is None:
            known = ", ".join(each.client_id for each in identities) or "none"
            raise BadRequestError(
                f"There is no identity with the client id '{client_id or ''}' here; there is: {known}."
            )
        token, expires = self.issue(resource, found.client_id, object_id=found.object_id)
        return {
            "access_token": token,
            "expires_on": str(expires),
            "resource": resource,
            "token_type": "Bearer",
            "client_id": found.client_id,
        }

    def issue(
        self, resource: str, client_id: str, lifetime: float = LIFETIME_SECONDS, object_id: str | None = None
    ) -> tuple[str, int]:
        """A token for `resource` and the second at which it expires. `object_id`: the client's own, if it differs from
        what user-assigned identities have.
        """
        now = int(time.time())
        object_id = object_id or principal_of(client_id)
        # Azurite compares the storage audience without a trailing slash.
        audience = resource.rstrip("/") if resource.startswith(STORAGE_AUDIENCE) else resource
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{self._config.tenant_id}/",
            "iat": now,
            "nbf": now - NOT_BEFORE_SLACK_SECONDS,
            "exp": int(now + lifetime),
            "appid": client_id,
            "oid": object_id,
            "sub": object_id,
            "tid": self._config.tenant_id,
            "idtyp": "app",
            "ver": "1.0",
        }
        signed = f"{_encode({'typ': 'JWT', 'alg': 'HS256'})}.{_encode(claims)}"
        return f"{signed}.{_base64url(self._sign(signed))}", int(now + lifetime)

    def require(self, authorization: str | None, audiences: Sequence[str] = ()) -> dict[str, Any]:
        """The claims of a token in an Authorization header, or AuthenticationFailedError.

        `audiences`: whom the token may be for; none means management.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise AuthenticationFailedError("Authentication failed. The 'Authorization' header is missing.")
        claims = self._verified(token)
        audience = str(claims.get("aud", "")).rstrip("/")
        allowed = audiences or self._management_audiences
        if audience not in allowed:
            raise AuthenticationFailedError(
                f"The access token's audience '{audience}' is not one of {', '.join(allowed)}.",
                code="InvalidAuthenticationTokenAudience",
            )
        return claims

    @property
    def _management_audiences(self) -> tuple[str, ...]:
        return (
            self._config.arm_url,
            "https://management.azure.com",
            "https://management.core.windows.net",
            "https://ml.azure.com",
        )

    def signed_claims(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that this cloud has signed, in force or not; None for any other text."""
        signed, _, signature = token.rpartition(".")
        try:
            given = _from_base64url(signature)
            claims: dict[str, Any] = json.loads(_from_base64url(signed.partition(".")[2]))
        except (ValueError, binascii.Error):
            return None
        return claims if hmac.compare_digest(given, self._sign(signed)) else None

    def _verified(self, token: str) -> dict[str, Any]:
        claims = self.signed_claims(token)
        if claims is None:
            raise AuthenticationFailedError(
                "The access token is not a JSON Web Token that this cloud has signed.",
                code="InvalidAuthenticationToken",
            )
        if not claims.get("nbf", 0) <= time.time() < claims.get("exp", 0):
            raise AuthenticationFailedError("The access token has expired.", code="ExpiredAuthenticationToken")
        return claims

    def _sign(self, text: str) -> bytes:
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()


def _encode(value: dict[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
