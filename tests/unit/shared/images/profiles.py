"""Colour profiles to test with, as ICC.1:2001-04 lays them out."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
D65 = (0.3127, 0.3290)
SRGB = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def rgb_profile(primaries: Iterable[tuple[float, float]], gamma: float = 2.2) -> bytes:
    """A display's profile by the chromaticities of its red, green and blue; its white is D65."""
    white = _tristimulus(*D65)
    colours = np.array([_tristimulus(*each) for each in primaries]).T
    columns = colours * np.linalg.solve(colours, white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ D50) / (_BRADFORD @ white)) @ _BRADFORD @ columns
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    tags = {f"{name}XYZ".encode(): _xyz(column) for name, column in zip("rgb", adapted.T, strict=True)}
    return _profile(b"RGB ", tags | {f"{name}TRC".encode(): curve for name in "rgb"})


def grey_profile(gamma: float) -> bytes:
    """A scanner's profile of grey alone."""
    return _profile(b"GRAY", {b"kTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))})


def _tristimulus(x: float, y: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([x / y, 1, (1 - x - y) / y])


def _xyz(values: Iterable[float]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags |= {
        b"wtpt": _xyz(D50),
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none",
    }
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(data), b"none", 0x02100000, b"mntr", space, b"XYZ ")
    illuminant = _xyz(D50)[8:]
    return (header + bytes(12) + b"acsp" + bytes(28) + illuminant).ljust(128, b"\0") + table + data
