"""The card: a plugin described as plain data, so that no front end ever needs the plugin itself.

Made in the child by `plugin.describe`, sent to the gateway as JSON, and read by every front end, the help text, the
OpenAPI documents and the command line. Everything here survives `json.dumps`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, Callable, Mapping, TypeVar

# JSON's own words for types, plus two: a file, and "any" for what the plugin's field does not tell.
TYPES = ("string", "integer", "number", "boolean", "array", "object", "file", "any")

T = TypeVar("T")


class _Plain:
    """Made of what `json` has read."""

    @classmethod
    def from_plain(cls: type[T], plain: Mapping[str, Any]) -> T:
        known = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # a child of another version may say more
        return cls(**{name: _made(name, plain[name]) for name in known if name in plain})


def _made(name: str, value: Any) -> Any:
    kind = PARTS.get(name)
    if kind is None or value is None:
        return value
    return [kind.from_plain(part) for part in value] if isinstance(value, list) else kind.from_plain(value)


@dataclass(frozen=True)
class Argument(_Plain):
    """One argument of `predict` or `train`, or one field of the answer's schema."""

    name: str  # the keyword that the plugin's function receives
    type: str  # one of TYPES; a list of files is an "array" whose item is a "file"
    wire_name: str = ""  # the name in a request (marshmallow's data_key); the same as `name` unless the plugin says so
    field_type: str = ""  # class of the plugin's field, for the help text: "Str", "Field", "DelimitedList"
    item: Argument | None = None  # for an array: one element (its name is empty)
    properties: list[Argument] | None = None  # for a nested object: its fields
    required: bool = False
    has_default: bool = False
    default: Any = None  # where JSON cannot say it (a date), its text
    nullable: bool = False
    multiple: bool = False  # takes every value of a repeated query or form field, not just the first
    choices: list[Any] | None = None
    choices_enforced: bool = False  # by a OneOf; an `enum` in the metadata is only shown
    minimum: Any = None
    maximum: Any = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    format: str | None = None  # "date-time", "url", "uuid", "password", …
    description: str = ""
    location: str | None = None  # query, form, json, headers, cookies; None: query, form, then JSON
    read_only: bool = False  # marshmallow's dump_only: refused when sent
    metadata: dict[str, Any] = field(
        default_factory=dict
    )  # what else the plugin wrote there, as far as JSON can say it

    def __post_init__(self) -> None:
        if not self.wire_name:
            object.__setattr__(self, "wire_name", self.name)

    @cached_property
    def is_file(self) -> bool:
        """A file, or a list of files."""
        return self.type == "file" or (self.item is not None and self.item.type == "file")


@dataclass(frozen=True)
class AnswerSchema(_Plain):
    """What the plugin's `schema` says of a JSON answer."""

    name: str  # in the Swagger document: "ModelPredictionResponse", or the plugin's class without its final "Schema"
    fields: list[Argument] = field(default_factory=list)
    many: bool = False  # the answer is a list of such objects


@dataclass(frozen=True)
class Card(_Plain):
    """A plugin described.

    answer_types: media types that `predict` can give, the plugin's own order; empty where it has no `accept` argument.
    default_answer_type: the one used when the caller does not choose; None where it has no `accept` argument.
    capabilities: which of predict, predict_batch, train, warm the plugin has.
    batch_size: most calls that its `predict_batch` takes at once; 0: it has none.
    batch_same: arguments that are the same in all calls of a batch.
    """

    name: str
    metadata: dict[str, Any] = field(default_factory=dict)
    metadata_error: str | None = None  # get_metadata raised this
    predict_args: list[Argument] = field(default_factory=list)
    train_args: list[Argument] = field(default_factory=list)
    answer_types: list[str] = field(default_factory=list)
    default_answer_type: str | None = None
    answer_schema: AnswerSchema | None = None
    capabilities: list[str] = field(default_factory=list)
    batch_size: int = 0
    batch_same: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # what could not be described, for the log
    origin: str = ""  # "package.module:attribute" or a file name, for people
    versions: dict[str, str] = field(default_factory=dict)  # python, marshmallow, … in the child

    def arguments(self, method: str) -> list[Argument]:
        return self.train_args if method == "train" else self.predict_args

    @cached_property
    def accept(self) -> Argument | None:
        """The argument named `accept`, which chooses the answer's media type."""
        return next((arg for arg in self.predict_args if arg.name == "accept"), None)

    @cached_property
    def _derived(self) -> dict[Callable[[Card], Any], Any]:
        return {}

    def derive(self, make: Callable[[Card], T]) -> T:
        """`make(self)`, worked out once and kept with the card: what a front end needs to know at each call."""
        derived: T | None = self._derived.get(make)
        if derived is None:
            derived = self._derived[make] = make(self)
        return derived

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)


# The fields of these classes that hold such parts, or lists of them.
PARTS: dict[str, Any] = {
    **dict.fromkeys(("item", "properties", "fields", "predict_args", "train_args"), Argument),
    "answer_schema": AnswerSchema,
}
