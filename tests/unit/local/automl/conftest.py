"""Small tables and images for the AutoML stand-in."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

URL = "azureml://subscriptions/s/resourcegroups/r/workspaces/w/datastores/photos/paths/"
MLTABLE = """\
$schema: https://azuremlschemas.azureedge.net/latest/MLTable.schema.json
type: mltable
paths:
  - file: ./rows.jsonl
transformations:
  - read_json_lines:
      encoding: utf8
      invalid_lines: error
      include_path_column: false
  - convert_column_types:
      - columns: image_url
        column_type: stream_info
"""

WriteTable = Callable[..., Path]


@pytest.fixture
def write_table(tmp_path: Path) -> WriteTable:
    """Write an MLTable folder of rows and return it."""

    def write(rows: Sequence[dict[str, Any]] | str, name: str = "train", table: str = MLTABLE) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "rows.jsonl").write_text(text, encoding="utf-8")
        (folder / "MLTable").write_text(table, encoding="utf-8")
        return folder

    return write


def row(path: str, *labels: str) -> dict[str, Any]:
    """A row of AutoML's training table."""
    return {"image_url": URL + path, "image_details": {"format": "png"}, "label": list(labels)}


def png(number: int, *, striped: bool, reddish: bool) -> bytes:
    """A small image, striped or plain, reddish or bluish, that differs for every number."""
    rng = np.random.default_rng(number)
    pixels = rng.normal(128, 12, (120, 150, 3))
    pixels[..., 0 if reddish else 2] += 70
    if striped:
        pixels += 60 * np.sin(np.arange(150) / rng.uniform(1.5, 3))[None, :, None]
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
