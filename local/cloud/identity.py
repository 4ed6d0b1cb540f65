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
from typing import Any

from local.cloud.errors import AuthenticationFailedError, BadRequestError
from local.config import StackConfig

LIFETIME_SECONDS = 24 * 3600
# Clocks of one machine agree, but a token must not be refused for a rounded second.
NOT_BEFORE_SLACK_SECONDS = 60

STORAGE_AUDIENCE = "https://storage.azure.com"


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

    @property
    def compute_secret(self) -> str:
        """The `MSI_SECRET` of cluster nodes; they do not know the function app's secret."""
        return hmac.new(self._key, b"compute", hashlib.sha256).hexdigest()

    def token_for_app_service(self, header: str | None, resource: str | None, client_id: str | None) -> dict[str, str]:
        """App Service's protocol, api-version 2019-08-01 (azure-identity, `_credentials/app_service.py`)."""
        if header is None or not hmac.compare_digest(header.encode(), self._config.identity_header.encode()):
            raise AuthenticationFailedError("The header X-IDENTITY-HEADER is missing or wrong.")
        return self._answer(resource, client_id or str(uuid.uuid5(uuid.NAMESPACE_URL, "app")))

    def token_for_compute(self, secret: str | None, resource: str | None, client_id: str | None) -> dict[str, str]:
        """Azure ML compute's protocol, api-version 2017-09-01 (azure-identity, `_credentials/azure_ml.py`)."""
        if secret is None or not hmac.compare_digest(secret.encode(), self.compute_secret.encode()):
            raise AuthenticationFailedError("The header 'secret' is missing or wrong.")
        return self._answer(resource, client_id or str(uuid.uuid5(uuid.NAMESPACE_URL, "compute")))

    def _answer(self, resource: str | None, client_id: str) -> dict[str, str]:
        if not resource:
            raise BadRequestError("The query parameter 'resource' is missing.")
        token, expires = self.issue(resource, client_id)
        return {
            "access_token": token,
            "expires_on": str(expires),
            "resource": resource,
            "token_type": "Bearer",
            "client_id": client_id,
        }

    def issue(self, resource: str, client_id: str, lifetime: float = LIFETIME_SECONDS) -> tuple[str, int]:
        """A token for `resource` and the second at which it expires."""
        now = int(time.time())
        # Azurite compares the storage audience without a trailing slash.
        audience = resource.rstrip("/") if resource.startswith(STORAGE_AUDIENCE) else resource
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{self._config.tenant_id}/",
            "iat": now,
            "nbf": now - NOT_BEFORE_SLACK_SECONDS,
            "exp": int(now + lifetime),
            "appid": client_id,
            "oid": str(uuid.uuid5(uuid.NAMESPACE_OID, client_id)),
            "sub": str(uuid.uuid5(uuid.NAMESPACE_OID, client_id)),
            "tid": self._config.tenant_id,
            "idtyp": "app",
            "ver": "1.0",
        }
        signed = f"{_encode({'typ': 'JWT', 'alg': 'HS256'})}.{_encode(claims)}"
        return f"{signed}.{_base64url(self._sign(signed))}", int(now + lifetime)

    def require(self, authorization: str | None) -> dict[str, Any]:
        """The claims of a management token in an Authorization header, or AuthenticationFailedError."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise AuthenticationFailedError("Authentication failed. The 'Authorization' header is missing.")
        claims = self._verified(token)
        audience = str(claims.get("aud", "")).rstrip("/")
        if audience not in self._management_audiences:
            raise AuthenticationFailedError(
                f"The access token's audience '{audience}' is not one of {', '.join(self._management_audiences)}.",
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

    def _verified(self, token: str) -> dict[str, Any]:
        signed, _, signature = token.rpartition(".")
        try:
            given = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
            payload = signed.partition(".")[2]
            claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (ValueError, binascii.Error) as error:
            raise AuthenticationFailedError(
                "The access token is not a JSON Web Token.", code="InvalidAuthenticationToken"
            ) from error
        if not hmac.compare_digest(given, self._sign(signed)):
            raise AuthenticationFailedError("The access token's signature is wrong.", code="InvalidAuthenticationToken")
        now = time.time()
        if not claims.get("nbf", 0) <= now < claims.get("exp", 0):
            raise AuthenticationFailedError("The access token has expired.", code="ExpiredAuthenticationToken")
        return claims

    def _sign(self, text: str) -> bytes:
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()


def _encode(value: dict[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
