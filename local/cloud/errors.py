"""Errors of the local cloud, each with the status and code that Azure answers with."""

from __future__ import annotations


class CloudError(Exception):
    """An error that a caller of the cloud's API sees as `{"error": {"code", "message"}}`."""

    status = 500
    code = "InternalServerError"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code


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
