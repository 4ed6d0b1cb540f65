"""What several tests need: settings, images, a tiny model, a client of one storage account."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from shared.clients import Clients
from shared.inference import CARD_FILE, LABELS_FILE, MODEL_FILE, Preprocessing
from shared.settings import Settings

REQUIRED = {
    "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
    "AZURE_RESOURCE_GROUP": "labelloop",
    "AZURE_LOCATION": "westeurope",
    "AZUREML_WORKSPACE_NAME": "labelloop",
}


def make_settings(**changes: object) -> Settings:
    """Settings as the environment would give them; `changes` by field name."""
    environment = {name.upper(): str(value) for name, value in changes.items()}
    return Settings.from_environment({**REQUIRED, **environment})


def make_clients(connection_string: str, **changes: object) -> Clients:
    """Clients of one storage account."""
    return Clients(make_settings(**changes), {"DATA_STORAGE": connection_string})


def encoded(image: Image.Image, file_format: str = "JPEG", **options: Any) -> bytes:
    """An image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def plain_jpeg(color: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (320, 240)) -> bytes:
    """A JPEG of one colour."""
    return encoded(Image.new("RGB", size, color), quality=95)


LABELS = ("red", "green", "blue")


def write_bundle(folder: Path, labels: tuple[str, ...] = LABELS, *, scale: float = 20.0) -> Path:
    """A model bundle whose logit for each label is the mean of one normalised colour channel, times `scale`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = np.eye(3, len(labels), dtype=np.float32) * np.float32(scale)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["input1"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weights"], ["output1"]),
        ],
        "colours",
        [helper.make_tensor_value_info("input1", TensorProto.FLOAT, ["n", 3, 224, 224])],
        [helper.make_tensor_value_info("output1", TensorProto.FLOAT, ["n", len(labels)])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(folder / MODEL_FILE))
    (folder / LABELS_FILE).write_text(json.dumps(labels))
    card = {"labels": list(labels), "thresholds": {}, "preprocessing": Preprocessing().to_json()}
    (folder / CARD_FILE).write_text(json.dumps(card))
    return folder
