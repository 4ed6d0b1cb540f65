"""A small set of sample images, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.demo.data import KnownImage, read_data
from local.sample import make_sample_set

IMAGES = 90


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images/ and labels.jsonl."""
    folder = tmp_path_factory.mktemp("sample")
    make_sample_set(folder, IMAGES, 5)
    return folder


@pytest.fixture(scope="session")
def sample(sample_folder: Path) -> list[KnownImage]:
    return read_data(sample_folder)


@pytest.fixture(scope="session")
def labelled(sample: list[KnownImage]) -> list[KnownImage]:
    return [image for image in sample if image.split == "labelled"]


@pytest.fixture(scope="session")
def new(sample: list[KnownImage]) -> list[KnownImage]:
    return [image for image in sample if image.split == "new"]
