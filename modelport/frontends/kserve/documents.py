"""What the protocol sends, as types: requests are read with them, answers are written from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

NAME, VERSION = "modelport", "1"
BINARY_DATA = "binary_tensor_data"

# Of requests the protocol has these values; answers have the same.
Parameters = dict[str, str | bool | int | float | None]


class InputTensor(Struct):
    """Has `data`, or `parameters.binary_data_size`"""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = None
    # Unread: what it may be, and how much of it, its datatype and shape say.
    data: Annotated[Raw, Meta(description="One flat list, or lists in lists")] | UnsetType = UNSET


class RequestedOutput(Struct):
    name: str
    parameters: Parameters | None = None


class InferenceRequest(Struct):
    """Members that are not listed here are ignored"""

    inputs: list[InputTensor]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[RequestedOutput] | None = None


class OutputTensor(Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters = {}
    data: list[Any] | UnsetType = UNSET


class InferenceResponse(Struct):
    model_name: str
    model_version: str
    id: str
    outputs: list[OutputTensor]


class TensorMetadata(Struct, omit_defaults=True):
    """A size of -1 is any"""

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters = {}


class ModelMetadata(Struct):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(Struct):
    name: str
    version: str
    extensions: list[str]


class Live(Struct):
    live: bool


class Ready(Struct):
    ready: bool


class ModelReady(Struct):
    name: str
    ready: bool


class IndexedModel(Struct):
    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class Failure(Struct):
    error: str
