"""Scoring script of an online endpoint for the exported model, with AutoML's request and response.

`run` takes `{"input_data": {"columns": ["image"], "data": ["<base64 of an image file>", ...]}}` and returns, for each
image, `{"probs": [...], "labels": [...]}` in the labels' order. It needs onnxruntime, numpy, and Pillow alone.
"""

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

RESIZE_TO, CROP_TO = 256, 224
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)

_state: dict[str, Any] = {}


def init() -> None:
    """Load the model below AZUREML_MODEL_DIR, which Azure ML sets to the deployed model's folder."""
    model = next(Path(os.environ["AZUREML_MODEL_DIR"]).rglob("model.onnx"))
    _state["labels"] = json.loads((model.parent / "labels.json").read_text(encoding="utf-8"))
    _state["settings"] = json.loads((model.parent / "settings.json").read_text(encoding="utf-8"))
    _state["session"] = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def run(raw_data: str) -> list[dict[str, list[Any]]]:
    """Probabilities of every image in the request."""
    data = json.loads(raw_data)["input_data"]["data"]
    encoded = [row[0] if isinstance(row, list) else row for row in data]
    if not encoded:
        return []
    batch = np.stack([_prepare(base64.b64decode(image)) for image in encoded])
    (logits,) = _state["session"].run(None, {_state["session"].get_inputs()[0].name: batch})
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return [{"probs": row.tolist(), "labels": _state["labels"]} for row in probabilities]


def _prepare(image_file: bytes) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(3, 224, 224) float32: RGB, short side 256, centre crop, normalised unless the model does that itself."""
    image = Image.open(io.BytesIO(image_file)).convert("RGB")
    short = min(image.size)
    image = image.resize(
        (int(RESIZE_TO * image.width / short), int(RESIZE_TO * image.height / short)), Image.Resampling.BILINEAR
    )
    left, top = round((image.width - CROP_TO) / 2), round((image.height - CROP_TO) / 2)
    pixels = np.array(image.crop((left, top, left + CROP_TO, top + CROP_TO)), np.float32)
    if not _state["settings"]["enable_onnx_normalization"]:
        np.divide(pixels / 255 - MEAN, DEVIATION, out=pixels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
