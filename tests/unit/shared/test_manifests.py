"""How a batch's images are divided among the nodes."""

from __future__ import annotations

import pytest

from shared.manifests import shard_size
from tests.support import make_settings


@pytest.mark.parametrize(
    ("images", "nodes", "size"),
    [
        (1, 4, 16),
        (128, 4, 16),
        (129, 4, 17),
        (1000, 4, 125),
        (4096, 4, 512),
        (5000, 4, 417),
        (100, 1, 50),
        (1_000_000, 100, 500),
    ],
)
def test_shards_are_as_many_for_each_node_but_neither_tiny_nor_huge(images: int, nodes: int, size: int) -> None:
    assert shard_size(images, make_settings(compute_max_nodes=nodes)) == size
