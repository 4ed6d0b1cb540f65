"""Writes `expected.json`: digests of what torchvision's own transforms make of `images.py`. With a folder, compares
ours with torchvision on every image in it as well, as they are and at other sizes.

    python -m tests.unit.shared.torchvision.make_expected [FOLDER]

in an environment with torch, torchvision, numpy and the Pillow that `requirements.txt` pins.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.preprocessing import Preprocessing, decode, to_input
from tests.unit.shared.torchvision.images import SCALES, SIZES, picture

FILE = Path(__file__).with_name("expected.json")
# By name: torchvision is not among the project's packages.
transforms: Any


def theirs(image: Image.Image, how: Preprocessing) -> NDArray[np.float32]:
    """AutoML's validation transform by torchvision."""
    steps = [transforms.Resize(how.resize), transforms.CenterCrop(how.crop), transforms.ToTensor()]
    tensor = transforms.Compose([*steps, transforms.Normalize(how.mean, how.std)])(image)
    result: NDArray[np.float32] = tensor.numpy()
    return result


def ours(content: bytes, how: Preprocessing) -> NDArray[np.float32]:
    inputs = np.empty((3, how.crop, how.crop), np.float32)
    to_input(decode(content, how, lambda _: contextlib.nullcontext()), how, inputs)
    return inputs


def digest(inputs: NDArray[np.float32]) -> str:
    """Of the float32 values, bit for bit."""
    return hashlib.sha256(np.ascontiguousarray(inputs, "<f4").tobytes()).hexdigest()


def compare(folder: Path) -> dict[str, int]:
    """How many real images come out bit for bit the same: as they are and as PNG, every tenth also at other sizes."""
    count = {"images": 0, "equal": 0}
    for number, file in enumerate(sorted(folder.iterdir())):
        original = file.read_bytes()
        image = Image.open(io.BytesIO(original)).convert("RGB")
        contents = [original, encoded(image, "PNG")]
        if number % 10 == 0:
            contents += [encoded(image.resize(size, Image.Resampling.LANCZOS)) for size in ((201, 333), (1999, 1503))]
        for content in contents:
            for resize, crop in SCALES[:2]:
                how = Preprocessing(resize, crop)
                expected = theirs(Image.open(io.BytesIO(content)).convert("RGB"), how)
                count["images"] += 1
                count["equal"] += np.array_equal(ours(content, how), expected)
    return count


def encoded(image: Image.Image, file_format: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format)
    return buffer.getvalue()


def main() -> None:
    versions = {name: importlib.import_module(name).__version__ for name in ("torch", "torchvision", "numpy", "PIL")}
    document: dict[str, Any] = {"versions": {"python": platform.python_version(), **versions}}
    document["digests"] = {
        f"{width}x{height} to {resize}, {crop}": digest(theirs(picture(width, height), Preprocessing(resize, crop)))
        for width, height in SIZES
        for resize, crop in SCALES
    }
    if len(sys.argv) > 1:
        document["real"] = compare(Path(sys.argv[1]))
        sys.stdout.write(f"{document['real']}\n")
    FILE.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    transforms = importlib.import_module("torchvision.transforms")
    main()
