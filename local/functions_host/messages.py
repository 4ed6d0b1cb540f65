"""Plain stand-ins for the protobuf messages that the worker library exchanges with its host.

The library takes the message classes from its caller (`properties={"protos": ...}`) and only ever constructs them with
keywords, reads attributes, and calls `WhichOneof`. The fields are those of FunctionRpc.proto in
Azure/azure-functions-language-worker-protobuf.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar


class Message(SimpleNamespace):
    """A message whose unset fields are None, as far as the library can tell."""

    def __getattr__(self, name: str) -> None:
        # `TypedData` is how Datum.from_typed_data asks whether it was given a module or a message.
        if name.startswith("__") or name == "TypedData":
            raise AttributeError(name)


class StatusResult(Message):
    Failure = 0
    Success = 1
    Cancelled = 2


class BindingInfo(Message):
    """Direction numbers as in the protocol; `in` is a keyword and therefore set below."""

    out = 1
    inout = 2
    undefined = 0


setattr(BindingInfo, "in", 0)


class TypedData:
    """One value of a named kind: `string`, `bytes`, `json`, `http`, ... ; no kind: no value."""

    def __init__(self, **kind: Any) -> None:
        self.kind = next(iter(kind), None)
        self.__dict__.update(kind)

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802 - the protobuf API's name
        return self.kind

    @property
    def value(self) -> Any:
        return None if self.kind is None else self.__dict__[self.kind]


class ParameterBinding(Message):
    """A named input or output of a function."""

    name: str
    data: TypedData | None

    def WhichOneof(self, _group: str) -> str:  # noqa: N802 - the protobuf API's name
        return "data"


class RpcHttpCookie(Message):
    class SameSite:
        Lax = 1
        Strict = 2
        ExplicitNone = 3


setattr(RpcHttpCookie.SameSite, "None", 0)


class FunctionMetadataResponse(Message): ...


class FunctionLoadResponse(Message): ...


class InvocationResponse(Message): ...


class NullableBool(Message): ...


class NullableDouble(Message): ...


class NullableString(Message): ...


class NullableTimestamp(Message): ...


class RpcException(Message): ...


class RpcFunctionMetadata(Message): ...


class RpcHttp(Message): ...


class RpcRetryOptions(Message): ...


class Timestamp(Message): ...


class WorkerInitResponse(Message): ...


class WorkerMetadata(Message): ...


class Protos:
    """What the library gets as its `protos` module."""

    classes: ClassVar[tuple[type, ...]] = (
        BindingInfo,
        FunctionLoadResponse,
        FunctionMetadataResponse,
        InvocationResponse,
        NullableBool,
        NullableDouble,
        NullableString,
        NullableTimestamp,
        ParameterBinding,
        RpcException,
        RpcFunctionMetadata,
        RpcHttp,
        RpcHttpCookie,
        RpcRetryOptions,
        StatusResult,
        Timestamp,
        TypedData,
        WorkerInitResponse,
        WorkerMetadata,
    )


for _class in Protos.classes:
    setattr(Protos, _class.__name__, _class)
