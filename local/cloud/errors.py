"""Errors of the local cloud, each with the status and code that Azure answers with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class CloudError(Exception):
    """An error that a caller of the cloud's API sees as `{"error": {"code", "message", "target"?, "details"?}}`."""

    status = 500
    code = "InternalServerError"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        target: str | None = None,
        details: Sequence[CloudError] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.target = target
        self.details = details

    def document(self) -> dict[str, Any]:
        """ARM's error, without its envelope."""
        found: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target is not None:
            found["target"] = self.target
        if self.details:
            found["details"] = [each.document() for each in self.details]
        return found


class BadRequestError(CloudError):
    """The request is malformed, or names something that cannot be."""

    status = 400
    code = "BadRequest"


class UserError(CloudError):
    """Azure ML's code for a request that its caller must change."""

    status = 400
    code = "UserError"


class AuthenticationFailedError(CloudError):
    """No valid credential came with the request."""

    status = 401
    code = "AuthenticationFailed"


class ForbiddenError(CloudError):
    """The credential does not allow this."""

    status = 403
    code = "AuthorizationFailed"


class NotFoundError(CloudError):
    """The named thing does not exist."""

    status = 404
    code = "ResourceNotFound"


class ConflictError(CloudError):
    """The request contradicts the present state."""

    status = 409
    code = "Conflict"


class NotImplementedByLocalCloudError(CloudError):
    """Azure may know this operation; the local cloud does not."""

    status = 501
    code = "NotImplemented"
