"""The restricted reader of torch state dicts."""

from __future__ import annotations

import os
import pickle
import struct
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from local.automl.torch_state import MAGIC_NUMBER, PROTOCOL_VERSION, StateDictError, load_state_dict

SYSTEM = {"protocol_version": PROTOCOL_VERSION, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


class Storage:
    """Stands for a torch storage: pickled as a persistent id."""

    def __init__(self, kind: type, key: str, count: int) -> None:
        self.id = ("storage", kind, key, "cpu", count, None)


class Tensor:
    """Stands for a torch tensor: pickled as a call of `torch._utils._rebuild_tensor_v2`."""

    def __init__(self, storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.arguments: tuple[Any, ...] = (storage, offset, size, stride, False, OrderedDict())

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class Writer(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        return obj.id if isinstance(obj, Storage) else None


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module by that name, so that its names can be pickled."""
    module, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    storage = type("FloatStorage", (), {"__module__": "torch"})

    def rebuild() -> None: ...

    def load() -> None: ...

    for function, home, name in ((rebuild, utils, "_rebuild_tensor_v2"), (load, module, "load")):
        function.__module__, function.__name__, function.__qualname__ = home.__name__, name, name
        setattr(home, name, function)
    module.FloatStorage = storage  # type: ignore[attr-defined]  # a module made up here
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return module


def write(path: Path, state: object, storages: dict[str, np.ndarray[Any, Any]]) -> Path:
    """Write `state` as torch did before 1.6, without torch."""
    with path.open("wb") as stream:
        for value in (MAGIC_NUMBER, PROTOCOL_VERSION, SYSTEM, state, list(storages)):
            Writer(stream, protocol=2).dump(value)
        for values in storages.values():
            stream.write(struct.pack("<q", values.size) + values.tobytes())
    return path


def test_tensors_are_views_of_their_storages(tmp_path: Path, torch: Any) -> None:
    storage = Storage(torch.FloatStorage, "1", 6)
    state = OrderedDict(whole=Tensor(storage, 0, (2, 3), (3, 1)), turned=Tensor(storage, 1, (2, 2), (1, 3)))
    path = write(tmp_path / "state.pth", state, {"1": np.arange(6, dtype="<f4")})

    tensors = load_state_dict(path)

    assert tensors["whole"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["turned"].tolist() == [[1, 4], [2, 5]]
    assert tensors["whole"].dtype == np.float32


def test_any_other_name_is_refused(tmp_path: Path, torch: Any) -> None:
    for named, spelled in ((os.system, r"\w+\.system"), (eval, r"\w+\.eval"), (torch.load, r"torch\.load")):
        path = write(tmp_path / "state.pth", OrderedDict(weight=named), {})
        with pytest.raises(StateDictError, match=rf"asks for {spelled}.*refused"):
            load_state_dict(path)


def test_a_pickle_that_calls_something_does_not_get_to_call_it(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "touched",)

    path = tmp_path / "state.pth"
    path.write_bytes(pickle.dumps(Malicious(), protocol=2))
    with pytest.raises(StateDictError):
        load_state_dict(path)
    assert not (tmp_path / "touched").exists()


def test_a_tensor_outside_its_storage_is_refused(tmp_path: Path, torch: Any) -> None:
    state = OrderedDict(weight=Tensor(Storage(torch.FloatStorage, "1", 4), 2, (3,), (1,)))
    path = write(tmp_path / "state.pth", state, {"1": np.zeros(4, "<f4")})
    with pytest.raises(StateDictError, match="beyond its storage"):
        load_state_dict(path)


def test_a_file_cut_short_is_refused(tmp_path: Path, torch: Any) -> None:
    state = OrderedDict(weight=Tensor(Storage(torch.FloatStorage, "1", 4), 0, (4,), (1,)))
    path = write(tmp_path / "state.pth", state, {"1": np.zeros(4, "<f4")})
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(StateDictError, match="3 of 16 bytes are missing"):
        load_state_dict(path)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0 not a pickle")
    with pytest.raises(StateDictError):
        load_state_dict(path)
