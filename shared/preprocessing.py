"""From an encoded image to a model's input, as the trainer's validation transform does it, bit for bit.

AutoML's transform is torchvision's `Resize`, `CenterCrop`, `ToTensor`, `Normalize` on what Pillow decodes
(https://learn.microsoft.com/azure/machine-learning/how-to-inference-onnx-automl-image-models). Decoder, filter and the
order of the float32 operations are the same here, so the results are, too; `tests/unit/shared/torchvision/` proves it.
What would be faster and is not the same was measured and left out: see `decode`.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import ImageRejectedError
from shared.images import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PillowImage

# Longer side of what is resized entirely, px: 34 MB at most.
MAX_RESIZED = 32_768


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the model's input; the defaults are AutoML's validation transform for classification:
    shorter side to `resize` px (bilinear), centre crop of `crop` px, scaled to 0..1, normalised by channel.
    `normalise` is False when the ONNX file does the scaling and normalising by itself and takes 0..255
    (`enable_onnx_normalization`; azureml-automl-dnn-vision's `ModelNormalizerWrapper`).
    """

    resize: int = 256
    crop: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    normalise: bool = True

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        fields = dict(values)
        return cls(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def decode(
    content: bytes, how: Preprocessing, decoding: Callable[[int], AbstractContextManager[None]]
) -> NDArray[np.uint8]:
    """The middle of an encoded image, uint8 of shape (crop, crop, 3), RGB. Raises ImageRejectedError.

    `decoding` is entered with the number of pixels before any of them is in memory. A pixel takes 4 bytes.

    Not `Image.draft`, which lets libjpeg decode a photograph of 12 megapixels at half its size three times as fast: it
    changed labels. Not another decoder than the trainer's, for the same reason.
    """
    from PIL import Image as Pillow

    try:
        with Pillow.open(io.BytesIO(content), formats=FORMATS) as image, decoding(image.width * image.height):
            image.load()
            return crop_of(image if image.mode == "RGB" else image.convert("RGB"), how)
    # Pillow's plugins raise nearly anything for damaged data, MemoryError for what it claims to be.
    except Exception as error:
        raise ImageRejectedError(f"the image can't be decoded: {str(error) or type(error).__name__}") from error


def crop_of(image: PillowImage, how: Preprocessing) -> NDArray[np.uint8]:
    """The middle of an RGB image whose shorter side is scaled to `how.resize`, uint8 of shape (crop, crop, 3)."""
    import numpy as np
    from PIL import Image as Pillow

    width, height = image.size
    # torchvision's Resize truncates the longer side; the shorter one is exact.
    if width <= height:
        size = (how.resize, int(how.resize * height / width))
    else:
        size = (int(how.resize * width / height), how.resize)
    left, top = round((size[0] - how.crop) / 2), round((size[1] - how.crop) / 2)
    if max(size) <= MAX_RESIZED:
        if size != image.size:
            image = image.resize(size, Pillow.Resampling.BILINEAR)
        cropped = image.crop((left, top, left + how.crop, top + how.crop))
    else:
        # More than a hundred times as long as wide: resizing all of it would take gigabytes for what the crop throws
        # away. Values differ by 1 here and there, as Pillow keeps a box in single precision.
        x, y = width / size[0], height / size[1]
        box = (left * x, top * y, (left + how.crop) * x, (top + how.crop) * y)
        cropped = image.resize((how.crop, how.crop), Pillow.Resampling.BILINEAR, box=box)
    return np.asarray(cropped)


def to_input(pixels: NDArray[np.uint8], how: Preprocessing, out: NDArray[np.float32]) -> None:
    """Write pixels of shape (crop, crop, 3) as a model's input of shape (3, crop, crop)."""
    import numpy as np

    np.copyto(out, pixels.transpose(2, 0, 1))
    if how.normalise:
        out /= np.float32(255)
        out -= np.asarray(how.mean, np.float32).reshape(3, 1, 1)
        out /= np.asarray(how.std, np.float32).reshape(3, 1, 1)


def preprocess(image: PillowImage, how: Preprocessing) -> NDArray[np.float32]:
    """An RGB image as the model's input, float32 of shape (3, crop, crop)."""
    import numpy as np

    inputs = np.empty((3, how.crop, how.crop), np.float32)
    to_input(crop_of(image, how), how, inputs)
    return inputs
