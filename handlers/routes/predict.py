"""Predictions at once."""

import contextlib

import msgspec

from handlers.contract.predictions import BlobImages, Predictions
from handlers.http import Content, File, Files, Key, api, json_of
from shared.clients import clients
from shared.errors import ImageRejectedError, InvalidRequestError, NoModelError, NotFoundError

MAX_BYTES = 100_000_000
IMAGE, FORM, JSON = File("one image"), Files("an image, with a filename"), "application/json"


@api.post(
    "predict",
    Key.SCORE,
    accepts={
        "image/*": IMAGE,
        "application/octet-stream": IMAGE,
        "multipart/form-data": FORM,
        JSON: BlobImages,
    },
    max_bytes=MAX_BYTES,
    raises=[ImageRejectedError, NoModelError, NotFoundError],
)
def predict(content: Content) -> Predictions:
    """Predict the labels of one image, which is the body, of several as form data, or of blobs by their URLs."""
    from shared.prediction import StoredImage, Upload, predict_now

    images: list[Upload | StoredImage]
    if content.media_type == JSON:
        asked = json_of(content, BlobImages)
        if (asked.url is None) == (asked.urls is None):
            raise InvalidRequestError('the body must have either "url" or "urls"', "url")
        images = [StoredImage(url) for url in asked.urls or [asked.url or ""]]
    elif content.media_type == "multipart/form-data":
        images = [Upload(name, each) for name, each in _parts(content)]
    else:
        images = [Upload("image", content.body)]
    return msgspec.convert(predict_now(clients(), images), Predictions)


def _parts(content: Content) -> list[tuple[str, bytes]]:
    """The files of a form."""
    uploads: list[tuple[str, bytes]] = []
    for name, file in content.request.files.items(multi=True):
        with contextlib.closing(file):
            uploads.append((file.filename or name, file.read()))
    if not uploads:
        raise InvalidRequestError("the form has no file; send each image as a part with a filename", "body")
    return uploads
