"""What requests to storage that bring a token need, and whether their sender has it.

Source: https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory
("Permissions for calling data operations").
"""

from __future__ import annotations

from collections.abc import Mapping

from local.cloud.access.assignments import Assignments
from local.cloud.identity import IdentityProvider
from local.cloud.storage.operations import StorageRequest

BAD_TOKEN = "InvalidAuthenticationInfo"  # noqa: S105 - the name of an error
MISMATCH = "AuthorizationPermissionMismatch"

_ACCOUNT = "Microsoft.Storage/storageAccounts"
_COLLECTIONS = {"blob": "containers", "queue": "queues", "table": "tables"}
_DATA = ("/containers/blobs/", "/queues/messages/", "/tables/entities/")
_METHODS = {"GET": "read", "HEAD": "read", "OPTIONS": "read", "DELETE": "delete"}
# Any one of the tuples will do; all of its actions are needed.
Needs = tuple[tuple[str, ...], ...]
_MESSAGES: Mapping[str, Needs] = {
    "PeekMessages": (("read",),),
    "GetMessages": (("process/action",), ("delete", "read")),
    "PutMessage": (("write",), ("add/action",)),
    "DeleteMessage": (("process/action",), ("delete",)),
    "UpdateMessage": (("write",),),
    "ClearMessages": (("delete",),),
}
_ENTITIES: Mapping[str, Needs] = {
    "GetEntity": (("read",),),
    "QueryEntities": (("read",),),
    "InsertEntity": (("write",), ("add/action",)),
    "InsertOrMergeEntity": (("write",), ("add/action", "update/action")),
    "InsertOrReplaceEntity": (("write",), ("add/action", "update/action")),
    "MergeEntity": (("write",), ("update/action",)),
    "UpdateEntity": (("write",), ("update/action",)),
    "DeleteEntity": (("delete",),),
    # Azure asks for each operation within; here one answer stands for all.
    "EntityGroupTransaction": (("write",),),
}


def needs(request: StorageRequest, method: str) -> Needs:
    """The actions that a request needs: all of any one tuple."""
    service = f"{_ACCOUNT}/{request.service}Services"
    collection = f"{service}/{_COLLECTIONS[request.service]}"
    verb, part = _METHODS.get(method, "write"), request.query.get("comp", "")
    if part == "userdelegationkey":
        return ((f"{service}/generateUserDelegationKey/action",),)
    if part in ("properties", "stats") and request.query.get("restype") == "service":
        return ((f"{service}/{verb}",),)
    if part == "properties" and request.query.get("restype") == "account":
        return ((f"{service}/getInfo/action",),)
    if part == "acl":
        return ((f"{collection}/{'get' if verb == 'read' else 'set'}Acl/action",),)
    if request.service == "blob":
        return _blob(request, f"{collection}/", verb, part)
    if request.service == "queue":
        within = _MESSAGES.get(request.operation)
        return _prefixed(f"{collection}/messages/", within) if within else ((f"{collection}/{verb}",),)
    within = _ENTITIES.get(request.operation)
    return _prefixed(f"{collection}/entities/", within) if within else ((f"{collection}/{verb}",),)


def _blob(request: StorageRequest, collection: str, verb: str, part: str) -> Needs:
    if part == "blobs":
        return ((f"{collection}blobs/filter/action",),)
    if part == "batch" or not request.blob:
        return ((f"{collection}blobs/read" if request.operation == "ListBlobs" else f"{collection}{verb}",),)
    blobs = f"{collection}blobs/"
    if part == "tags":
        return ((f"{blobs}tags/{verb}",),)
    if part == "query":
        return ((f"{blobs}read",),)
    if request.operation == "CopyBlob":
        # The source is asked for at the destination's container; a source elsewhere brings a SAS.
        return ((f"{blobs}write", f"{blobs}read"),)
    return _prefixed(blobs, (("write",), ("add/action",))) if part == "appendblock" else ((f"{blobs}{verb}",),)


def _prefixed(prefix: str, within: Needs) -> Needs:
    return tuple(tuple(f"{prefix}{action}" for action in each) for each in within)


class StorageAccess:
    """Answers requests with a token from a cache: the proxy asks at each request."""

    MOST_ANSWERS = 10_000

    def __init__(self, identity: IdentityProvider, assignments: Assignments, account_id: str) -> None:
        self._identity = identity
        self._assignments = assignments
        self._account_id = account_id
        self._answers: dict[tuple[str, ...], str | None] = {}
        self._version = 0

    def refusal(self, request: StorageRequest, method: str, authorization: str | None) -> str | None:
        """The code of the error that a request is refused with; None lets it pass.

        Requests with a key's signature pass, and so do expired tokens: Azurite itself refuses what is wrong there.
        """
        # As loosely as Azurite, so that no other spelling passes by here.
        if authorization is None or authorization[:6].lower() != "bearer":
            return None
        if self._version != self._assignments.version or len(self._answers) > self.MOST_ANSWERS:
            self._answers.clear()
            self._version = self._assignments.version
        place = request.container.partition("(")[0]
        query = request.query
        key = (
            authorization,
            request.service,
            request.operation,
            method,
            place,
            query.get("comp", ""),
            query.get("restype", ""),
        )
        try:
            return self._answers[key]
        except KeyError:
            answer = self._answers[key] = self._decide(request, method, authorization, place)
            return answer

    def _decide(self, request: StorageRequest, method: str, authorization: str, place: str) -> str | None:
        claims = self._identity.signed_claims(authorization[7:])
        if claims is None:
            return BAD_TOKEN
        scope = self._account_id
        if place and not place.startswith("$") and place != "Tables":
            scope += f"/{request.service}Services/default/{_COLLECTIONS[request.service]}/{place}"
        allowed = any(
            all(self._allows(str(claims["oid"]), action, scope) for action in each) for each in needs(request, method)
        )
        return None if allowed else MISMATCH

    def _allows(self, principal: str, action: str, scope: str) -> bool:
        return self._assignments.allows(principal, action, scope, data=any(part in action for part in _DATA))
