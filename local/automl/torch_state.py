"""Read a torch state dict in the legacy (pre-1.6) stream without torch, and without running anything in it.

The stream is five pickles (magic number, protocol version, writer's system, the state dict, the storage keys) and
then, for every key in that order, an int64 element count and the elements, little-endian. A tensor in the state dict
is a call of `_rebuild_tensor_v2` on a storage named by a persistent id. The unpickler here resolves four names, to
its own functions, and refuses every other: a pickle that names anything else cannot make it do a thing.
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from local.automl.errors import TrainingError

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001

Tensor = NDArray[np.float32] | NDArray[np.int64]


class StateDictError(TrainingError):
    """The file is not a legacy torch state dict of plain tensors."""


class _Storage:
    """A flat array whose elements come later in the stream."""

    def __init__(self, dtype: np.dtype[Any], count: int) -> None:
        self.values = np.empty(count, dtype)


class _View:
    """A tensor's place in its storage; it becomes an array once the elements have been read."""

    def __init__(self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self) -> Tensor:
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if min(self.shape, default=1) < 0 or min(self.strides, default=0) < 0 or self.offset < 0:
            raise StateDictError("a tensor has a negative size, stride or offset")
        if 0 not in self.shape and last >= self.storage.values.size:
            raise StateDictError("a tensor reaches beyond its storage")
        values = self.storage.values
        steps = [stride * values.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, steps, writeable=False)


def _rebuild_tensor(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_autograd: object
) -> _View:
    return _View(storage, offset, tuple(size), tuple(stride))


_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_ALLOWED: dict[tuple[str, str], object] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): _DTYPES["FloatStorage"],
    ("torch", "LongStorage"): _DTYPES["LongStorage"],
}


class _StateUnpickler(pickle.Unpickler):
    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise StateDictError(f"the file asks for {module}.{name}, which no state dict needs; refused") from None

    def persistent_load(self, pid: Any) -> _Storage:
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage" and isinstance(pid[1], np.dtype)):
            raise StateDictError(f"not a storage: {pid!r}")
        _, dtype, key, _device, count, *view = pid
        if any(part is not None for part in view):
            raise StateDictError(f"storage {key} is a view of another; not understood")
        return self.storages.setdefault(str(key), _Storage(dtype, int(count)))


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Every tensor of the state dict at `path` by name, as read-only float32 or int64 arrays.

    Raises StateDictError when the file is something else, is cut short, or names anything but tensors.
    """
    with path.open("rb") as stream:
        try:
            return _read(stream)
        except (pickle.UnpicklingError, EOFError, struct.error, AttributeError, TypeError) as error:
            raise StateDictError(f"{path.name} is not a legacy torch state dict: {error}") from error


def _read(stream: BinaryIO) -> dict[str, Tensor]:
    # A pickle can name things wherever it stands, so even the numbers in front go through the same gate.
    def load() -> tuple[Any, dict[str, _Storage]]:
        unpickler = _StateUnpickler(stream)
        return unpickler.load(), unpickler.storages

    if load()[0] != MAGIC_NUMBER or load()[0] != PROTOCOL_VERSION:
        raise StateDictError("the magic number or the protocol version is not the legacy format's")
    if not load()[0].get("little_endian", False):
        raise StateDictError("the file was written on a big-endian machine")
    state, storages = load()
    for key in load()[0]:
        storage = storages[key]
        (count,) = struct.unpack("<q", _exactly(stream, 8))
        if count != storage.values.size:
            raise StateDictError(f"storage {key} holds {count} elements, {storage.values.size} were announced")
        storage.values[:] = np.frombuffer(_exactly(stream, storage.values.nbytes), storage.values.dtype)
    if not all(isinstance(name, str) and isinstance(view, _View) for name, view in state.items()):
        raise StateDictError("the state dict holds more than named tensors")
    views = cast(dict[str, _View], state)
    return {name: view.array() for name, view in views.items()}


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise EOFError(f"{count - len(data)} of {count} bytes are missing")
    return data
