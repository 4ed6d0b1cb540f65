"""Images as they are dropped: is it one, is it safe, can every model's loader read it; and their arrival."""

from shared.images.arrival import (
    PREPARED_FOLDER,
    Rejection,
    receive_image,
    receive_told,
    reject_event,
    reject_image,
)
from shared.images.checking import CheckedImage, check_image, check_upload, too_large
from shared.images.opening import FORMATS, load_rgb

__all__ = [
    "FORMATS",
    "PREPARED_FOLDER",
    "CheckedImage",
    "Rejection",
    "check_image",
    "check_upload",
    "load_rgb",
    "receive_image",
    "receive_told",
    "reject_event",
    "reject_image",
    "too_large",
]
