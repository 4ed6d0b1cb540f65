"""A data set in storage: JSON Lines with MLTable files, as AutoML takes them, and a data asset of the workspace."""

from __future__ import annotations

import json
import tempfile
from typing import TYPE_CHECKING, Any

from shared.datasets.data_set import DataSet, Example
from shared.datasets.options import FORMATS
from shared.locations import Datastores

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.storage.blob import BlobServiceClient

    from shared.settings import Settings

# https://learn.microsoft.com/azure/machine-learning/reference-yaml-mltable
MLTABLE = """\
paths:
  - file: ./{name}.jsonl
transformations:
  - read_json_lines:
      encoding: utf8
      invalid_lines: error
      include_path_column: false
  - convert_column_types:
      - columns: image_url
        column_type: stream_info
"""
_IN_MEMORY = 16_000_000
# https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations
_MAX_TAG = 256


def write_data_set(blobs: BlobServiceClient, data_set: DataSet, datastores: Datastores, container: str) -> None:
    """Write each split as `<folder>/<split>/` with `<split>.jsonl` and `MLTable`. Writing it again changes nothing."""
    for name, examples in data_set.splits.items():
        folder = f"{data_set.folder}/{name}"
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            for example in examples:
                file.write(json.dumps(_row(example, datastores), ensure_ascii=False).encode() + b"\n")
            length = file.tell()
            file.seek(0)
            blob = blobs.get_blob_client(container, f"{folder}/{name}.jsonl")
            blob.upload_blob(file, length=length, overwrite=True)
        table = MLTABLE.format(name=name).encode()
        blobs.get_blob_client(container, f"{folder}/MLTable").upload_blob(table, overwrite=True)


def _row(example: Example, datastores: Datastores) -> dict[str, Any]:
    # https://learn.microsoft.com/azure/machine-learning/reference-automl-images-schema
    row: dict[str, Any] = {"image_url": datastores.uri(example.location)}
    suffix = example.location.path.rsplit(".", 1)[-1].lower()
    if example.width and example.height and suffix in FORMATS:
        row["image_details"] = {"format": suffix, "width": f"{example.width}px", "height": f"{example.height}px"}
    return {**row, "label": list(example.labels)}


def register_data_asset(ml: MLClient, data_set: DataSet, export: str, settings: Settings) -> str:
    """Register the data set's folder as a data asset whose version is its id; returns `name:version`.

    The same data set again is the same version. Its tags tell the export, how many labels and images of each split,
    which labels (as many as a tag holds) and how many labels were left out. The asset is the folder of all splits, not
    one MLTable each: for an MLTable the SDK reads the file back and fetches a schema from the internet before it
    registers anything.
    """
    from azure.ai.ml.constants import AssetTypes
    from azure.ai.ml.entities import Data

    images = {f"{name}_images": str(len(examples)) for name, examples in data_set.splits.items()}
    asset = Data(
        name=f"{settings.model_name}-data",
        version=data_set.id,
        type=AssetTypes.URI_FOLDER,
        path=data_set.uri(settings.work_container),
        description=f"label export {export}",
        tags={
            "export": export[:_MAX_TAG],
            "data_set": data_set.id,
            "labels": str(len(data_set.labels)),
            "label_names": _shortened(data_set.labels),
            "left_out_labels": str(len(data_set.left_out)),
            "train_ratio": f"{settings.train_ratio:g}",
            "random_seed": str(settings.random_seed),
            **images,
        },
    )
    ml.data.create_or_update(asset)
    return f"{asset.name}:{asset.version}"


def _shortened(labels: tuple[str, ...]) -> str:
    text = ", ".join(labels)
    return text if len(text) <= _MAX_TAG else text[: _MAX_TAG - 1] + "…"
