"""Who calls, and whether they may: by a key that the host has checked, or by who signed in to Easy Auth.

With keys (API_AUTH=keys) the host lets nobody in without a key of the function; a function has the keys of its own
class and of those above it (infra/hooks/postdeploy.py). Which of them was used the host does not tell the app.

With Microsoft Entra (API_AUTH=entra) the host lets everybody in, and the app asks Easy Auth's header for the principal
and its app roles. Anybody can send that header where Easy Auth is not in front of the app, so it is trusted only where
the platform says that it is: WEBSITE_AUTH_ENABLED, which apps can't set
(https://learn.microsoft.com/azure/app-service/reference-app-settings#authentication--authorization). The header is that
of https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities#decode-the-client-principal-header.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from enum import StrEnum

import azure.functions as func
import msgspec

from handlers.http.problems import MISCONFIGURED, MISSING_ROLE, UNAUTHENTICATED, HttpError

PRINCIPAL_HEADER = "x-ms-client-principal"
ENTRA = "aad"
_ROLE_CLAIMS = frozenset({"roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"})
_NAME_CLAIMS = ("preferred_username", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn", "appid", "azp")


class Key(StrEnum):
    """Classes of callers; one that may operate may also score, and one that may score may also read."""

    ANONYMOUS = "anonymous"
    READ = "read"
    SCORE = "score"
    OPERATE = "operate"

    @property
    def opened_by(self) -> tuple["Key", ...]:
        """The classes whose callers may call a function of this one."""
        return _LADDER[_LADDER.index(self) :] if self in _LADDER else ()

    @property
    def role(self) -> str:
        """The app role in Entra."""
        return f"LabelLoop.{self.capitalize()}"


_LADDER = (Key.READ, Key.SCORE, Key.OPERATE)


class Caller(msgspec.Struct, frozen=True):
    """`name` is what is written down about who did something: a principal's name and object id, or a key's class."""

    name: str


class _Claim(msgspec.Struct):
    typ: str
    val: str


class _Principal(msgspec.Struct):
    auth_typ: str = ""
    claims: list[_Claim] = []
    role_typ: str = "roles"
    name_typ: str = ""


def caller_of(req: func.HttpRequest, key: Key, auth: str, environment: Mapping[str, str] = os.environ) -> Caller:
    """Who calls a function of a class. Raises HttpError: 401 when nobody is signed in, 403 when who is has no role,
    500 when the app asks for Entra and Easy Auth is not there.
    """
    if key is Key.ANONYMOUS:
        return Caller("anonymous")
    if auth == "keys":
        return Caller(f"{key} key")
    if environment.get("WEBSITE_AUTH_ENABLED", "").lower() != "true":
        raise HttpError(
            MISCONFIGURED,
            "API_AUTH is entra, but this app has no App Service authentication (Easy Auth) in front of it; switch it "
            "on for the app, or set API_AUTH to keys",
        )
    principal = _principal(req.headers.get(PRINCIPAL_HEADER) or "")
    if principal is None or principal.auth_typ != ENTRA:
        raise HttpError(
            UNAUTHENTICATED,
            "sign in with Microsoft Entra: send a token for this app as `Authorization: Bearer …`",
            headers={"WWW-Authenticate": "Bearer"},
        )
    roles = {each.val for each in principal.claims if each.typ in _ROLE_CLAIMS | {principal.role_typ}}
    wanted = [each.role for each in key.opened_by]
    if not roles.intersection(wanted):
        raise HttpError(MISSING_ROLE, f"{_name(principal)} has none of the app roles {', '.join(wanted)} of this app")
    return Caller(_name(principal))


def _principal(header: str) -> _Principal | None:
    if not header:
        return None
    try:
        return msgspec.json.decode(base64.b64decode(header, validate=True), type=_Principal)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None


def _name(principal: _Principal) -> str:
    """What people call it, and its object id where it is told: names can be given again, ids can't."""
    claims = {each.typ: each.val for each in reversed(principal.claims)}
    known = (principal.name_typ, *_NAME_CLAIMS)
    name = next((claims[each] for each in known if claims.get(each)), "somebody without a name")
    object_id = claims.get("oid") or claims.get("http://schemas.microsoft.com/identity/claims/objectidentifier")
    return f"{name} ({object_id})" if object_id and object_id != name else name
