"""Every error that LabelLoop raises on purpose; its message says what is wrong with what, and what would be right."""

from __future__ import annotations


class LabelLoopError(Exception):
    """Base of the errors whose message is meant for a person."""


class SettingsError(LabelLoopError):
    """A setting is missing or unusable. `setting` is its name."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(f"setting {setting}: {message}")
        self.setting = setting


class InvalidRequestError(LabelLoopError):
    """A caller asked for something that can't be. `field` names the offending part of the request."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ForbiddenError(LabelLoopError):
    """What was asked for is switched off."""


class ConflictError(LabelLoopError):
    """What was asked for contradicts what is there."""


class NotFoundError(LabelLoopError):
    """The named thing does not exist."""


class NoModelError(LabelLoopError):
    """Nothing can be predicted yet: no model was ever promoted."""


class ImageRejectedError(LabelLoopError):
    """The bytes are no image that can be scored; the message is the reason."""


class ImageUnavailableError(LabelLoopError):
    """An image can't be read now; that is not its own fault, and may go away."""


class ExportError(LabelLoopError):
    """A label export can't be trained on. `reasons` lists every reason found."""

    def __init__(self, export: str, reasons: list[str]) -> None:
        super().__init__(f"label export {export}: " + "; ".join(reasons))
        self.export = export
        self.reasons = reasons


class WebhookRefusedError(LabelLoopError):
    """Nothing is delivered to this URL, or not now; the message says why, and does not repeat the URL."""

    field = "url"


class ProvisioningError(LabelLoopError):
    """An Azure resource could not be made as desired. `resource` names it."""

    def __init__(self, resource: str, message: str) -> None:
        super().__init__(f"{resource}: {message}")
        self.resource = resource
