"""What several tests need: settings, images, a tiny model, a client of one storage account."""

from __future__ import annotations

import io
import json
import socket
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from shared.clients import Clients
from shared.inference import CARD_FILE, LABELS_FILE, MODEL_FILE
from shared.ledger import Ledger, normalised_etag
from shared.models import Champion, ModelStore
from shared.preprocessing import Preprocessing
from shared.queues import QUEUES
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


_made: list[Clients] = []


def make_clients(connection_string: str, **changes: object) -> Clients:
    """Clients of one storage account, closed at the test's end."""
    return closed_later(Clients(make_settings(**changes), {"DATA_STORAGE": connection_string}))


AnyClients = TypeVar("AnyClients", bound=Clients)


def closed_later(clients: AnyClients) -> AnyClients:
    """Clients that `close_clients` closes. What is only forgotten leaves open sockets, of which Python warns."""
    _made.append(clients)
    return clients


def close_clients() -> None:
    """Close the SDK clients of all `Clients` made so far."""
    while _made:
        made = vars(_made.pop())
        for name in ("blobs", "queues", "tables", "event_grid", "announcements_topic", "arm"):
            if name in made:
                made.pop(name).close()


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


def prepare_storage(clients: Clients) -> Ledger:
    """The containers, the queues and the ledger, as provisioning makes them."""
    settings = clients.settings
    for container in (settings.work_container, settings.images_container, settings.predictions_container):
        clients.blobs.create_container(container)
    for queue in QUEUES:
        clients.queues.create_queue(queue)
    ledger = Ledger(clients.tables)
    ledger.create()
    return ledger


def promote_bundle(clients: Clients, folder: Path, *, version: str = "1", **options: Any) -> Champion:
    """Make a tiny model of `write_bundle` the champion."""
    store = ModelStore(clients.blobs, clients.settings.work_container, clients.settings.model_name)
    path = store.bundle_path(f"train-{version}")
    store.upload_bundle(write_bundle(folder / f"bundle-{version}", **options), path)
    champion = Champion(store.model_name, version, path, "iou", 0.5, f"train-{version}", "2026-11-24T06:00:00+00:00")
    assert store.promote(champion, store.champion_and_etag()[1])
    return champion


def drop_image(clients: Clients, path: str, content: bytes) -> str:
    """Upload a blob to the images container; returns its etag, as it stands in the ledger."""
    blob = clients.blobs.get_blob_client(clients.settings.images_container, path)
    return normalised_etag(str(blob.upload_blob(content, overwrite=True)["etag"]))


def without_queues(connection_string: str) -> str:
    """The same account, but nothing listens where its queue service should be."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    parts = dict(part.split("=", 1) for part in connection_string.split(";") if part)
    parts["QueueEndpoint"] = f"http://127.0.0.1:{port}/{parts['AccountName']}"
    return ";".join(f"{name}={value}" for name, value in parts.items())
