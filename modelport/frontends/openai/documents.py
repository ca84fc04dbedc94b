"""What OpenAI's API sends, as types: requests are read with them, answers are written from them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

# As many texts as OpenAI takes.
MAX_INPUTS = 2048


class Model(Struct):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "modelport"


class Models(Struct):
    data: list[Model]
    object: Literal["list"] = "list"


class EmbeddingsRequest(Struct):
    """Other members are arguments of the model, if it has them"""

    model: str
    input: str | Annotated[list[str], Meta(min_length=1, max_length=MAX_INPUTS)]
    encoding_format: Literal["float", "base64"] | None = "float"


class Embedding(Struct):
    index: int
    embedding: Annotated[list[float] | str, Meta(description="Numbers, or little-endian FP32 in base64")]
    object: Literal["embedding"] = "embedding"


class Embeddings(Struct):
    model: str
    data: list[Embedding]
    object: Literal["list"] = "list"


class ChatRequest(Struct):
    """Other members are arguments of the model, if it has them"""

    model: str
    messages: Annotated[Raw, Meta(description="A list of objects with `role` and `content`")]
    stream: bool | None = None
    n: int | None = None


class Message(Struct):
    content: str
    role: Literal["assistant"] = "assistant"


class Choice(Struct):
    message: Message
    index: int = 0
    finish_reason: Literal["stop"] = "stop"


class ChatCompletion(Struct):
    id: str
    created: int
    model: str
    choices: list[Choice]
    object: Literal["chat.completion"] = "chat.completion"


class Delta(Struct, omit_defaults=True):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(Struct):
    delta: Delta
    index: int = 0
    finish_reason: Literal["stop"] | None = None


class ChatCompletionChunk(Struct):
    """One message of a stream; the last one is `[DONE]`"""

    id: str
    created: int
    model: str
    choices: list[ChunkChoice]
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"


class Fault(Struct):
    message: str
    type: str
    param: str | None
    code: str


class Failure(Struct):
    error: Fault
