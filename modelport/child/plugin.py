"""A plugin: found, imported, described, its functions at hand."""

from __future__ import annotations

import inspect
import platform
import sys
import traceback
from typing import Any, Callable, Mapping

from modelport.child import fields as marshmallow_fields
from modelport.child import finding, httperrors, refusals
from modelport.child.arguments import Fields
from modelport.child.compat import supply_deepaas
from modelport.contract.card import AnswerSchema, Argument, Card
from modelport.errors import LoadFailed, ModelFailed

__all__ = ["Plugin", "load", "supply_deepaas"]

FUNCTIONS = ("predict", "train", "warm", "get_metadata", "get_predict_args", "get_train_args")
ANY_TYPE = "*/*"
# Most calls of a batch, where the plugin has no BATCH_SIZE.
BATCH_SIZE = 16
DICT_SCHEMA_NAME = "ModelPredictionResponse"


def load(spec: str) -> Plugin:
    """Import the plugin that `spec` names.

    spec: an entry point's name, `package.module[:attribute]`, a folder, or a file (`path/to/file.py[:attribute]`).
    Raises LoadFailed with one sentence that says what was looked for, and the traceback in `detail`.
    """
    supply_deepaas()
    httperrors.take_any_reason()
    target = finding.resolve(spec)
    return Plugin(target.name, finding.bring(target), target.origin)


class Plugin:
    """The object behind an entry point: a module, an instance, or a class.

    A class is used as it is where its functions are static or class methods, else one instance is made and kept.
    predict_fields, train_fields: the arguments, asked for once.
    Raises LoadFailed where it has none of a plugin's functions, or they fail.
    """

    def __init__(self, name: str, target: Any, origin: str = "") -> None:
        self.name = name
        self.origin = origin or name
        self.warnings: list[str] = []
        self.target = _usable(target, self.origin)
        if not any(callable(self._get(function)) for function in FUNCTIONS):
            raise LoadFailed(f"{self.origin} is not a plugin: it has none of {', '.join(FUNCTIONS)}")
        self.predict_fields = self._fields("get_predict_args")
        self.train_fields = self._fields("get_train_args")
        self._answer = self._answer_schema()
        self.batch_size = self._batch_size()

    def _get(self, name: str) -> Any:
        return getattr(self.target, name, None)

    def function(self, method: str) -> Callable[..., Any] | None:
        """`predict`, `train` or `warm`; None where the plugin has none."""
        function = self._get(method)
        return function if callable(function) else None

    def warm(self) -> None:
        """Load the model. Raises whatever the plugin raises, but NotImplementedError."""
        function = self.function("warm")
        if function is not None:
            try:
                function()
            except NotImplementedError:
                pass  # deepaas' way of having none

    def describe(self) -> Card:
        """The card; `get_metadata` is called anew each time."""
        metadata, error = self._metadata()
        types, default = _answer_types(self.predict_fields.arguments)
        return Card(
            name=self.name,
            metadata=metadata,
            metadata_error=error,
            predict_args=self.predict_fields.arguments,
            train_args=self.train_fields.arguments,
            answer_types=types,
            default_answer_type=default,
            answer_schema=self._answer[0] if self._answer else None,
            capabilities=self._capabilities(),
            batch_size=self.batch_size,
            batch_same=self._batch_same(),
            warnings=[*self.warnings, *self.predict_fields.warnings, *self.train_fields.warnings],
            origin=self.origin,
            versions=_versions(),
        )

    def _capabilities(self) -> list[str]:
        names = ["predict", *(["predict_batch"] if self.batch_size else []), "train", "warm"]
        return [name for name in names if self.function(name)]

    def _batch_size(self) -> int:
        """Most calls that `predict_batch` takes at once; 0 where the plugin has none.

        A function of that name may be something else. Ours has one parameter, `calls`.
        """
        function = self.function("predict_batch")
        if function is None or self.function("predict") is None:
            return 0
        try:
            parameters = list(inspect.signature(function).parameters)
        except (TypeError, ValueError):
            parameters = []
        if parameters != ["calls"]:
            self.warnings.append("predict_batch() is not used: it must have one parameter, `calls`")
            return 0
        size = self._get("BATCH_SIZE")
        if size is None or (isinstance(size, int) and not isinstance(size, bool) and size > 0):
            return size or BATCH_SIZE
        self.warnings.append(f"BATCH_SIZE is {size!r}, which is not used; give a whole number, at least 1")
        return BATCH_SIZE

    def _batch_same(self) -> list[str]:
        names = self._get("BATCH_SAME")
        known = [argument.name for argument in self.predict_fields.arguments]
        if names is None or not self.batch_size:
            return []
        if isinstance(names, (list, tuple, set)) and all(name in known for name in names):
            return sorted(names)
        self.warnings.append(f"BATCH_SAME is {names!r}, so no two calls run together; give a list of arguments' names")
        return known

    @property
    def has_schema(self) -> bool:
        """Whether the whole answer is checked."""
        return self._answer is not None

    def check_answer(self, value: Any) -> None:
        """Raises ModelFailed where a JSON answer does not fit the plugin's `schema`."""
        if self._answer is None:
            return
        schema = self._answer[1]
        try:
            schema.load(value)
        except refusals.classes([schema]) as error:
            told = refusals.sentence(getattr(error, "messages", str(error)), "answer")
            raise ModelFailed(f"the answer does not fit the plugin's schema: {told}") from error

    def _metadata(self) -> tuple[dict[str, Any], str | None]:
        try:
            items = _items(self._ask("get_metadata"))
            return {str(key): marshmallow_fields.plain(value) for key, value in items}, None
        except (Exception, SystemExit) as error:
            return {}, finding.explained(error)

    def _fields(self, name: str) -> Fields:
        try:
            return Fields(_field_dict(self._ask(name)))
        except (Exception, SystemExit) as error:
            told = f"{name}() of {self.origin} failed: {finding.explained(error)}"
            raise LoadFailed(told, detail=traceback.format_exc()) from error

    def _ask(self, name: str) -> Any:
        """What a function gives; None where there is none, or it says so by what it raises, as deepaas does.

        But a mistake inside the function looks the same, so it is told.
        """
        function = self.function(name)
        try:
            return None if function is None else function()
        except (AttributeError, NotImplementedError) as error:
            told = f"{name}() is ignored, because it raised {type(error).__name__}: {error}"
            if (isinstance(error, AttributeError) or str(error)) and told not in self.warnings:
                self.warnings.append(told)
            return None

    def _answer_schema(self) -> tuple[AnswerSchema, Any] | None:
        """What `schema` says, and the schema to check with."""
        declared = self._get("schema")
        try:
            name, schema = _schema(declared)
        except Exception as error:
            self.warnings.append(f"the schema is not used: {type(error).__name__}: {error}")
            return None
        if schema is None:
            return None
        fields = marshmallow_fields.in_order(schema)
        described = [marshmallow_fields.describe(key, field, self.warnings) for key, field in fields]
        return AnswerSchema(name, described, many=bool(schema.many)), schema


def _usable(target: Any, origin: str) -> Any:
    """An instance of a class whose functions need one."""
    if not isinstance(target, type):
        return target
    own = [inspect.getattr_static(target, function, None) for function in FUNCTIONS]
    if not any(inspect.isfunction(value) for value in own):
        return target
    try:
        return target()
    except (Exception, SystemExit) as error:
        told = f"no instance of the class {origin} can be made: {finding.explained(error)}"
        raise LoadFailed(told, detail=traceback.format_exc()) from error


def _field_dict(fields: Any) -> Mapping[str, Any]:
    """A dict of fields, or a schema (class or instance) whose bound fields are meant."""
    if fields is None:
        return {}
    if isinstance(fields, type) and marshmallow_fields.is_schema(fields):
        fields = fields()
    parent: Any = getattr(next(iter(fields.values()), None), "parent", None) if isinstance(fields, Mapping) else fields
    if marshmallow_fields.is_schema(parent) and (fields is parent or fields is parent.fields):
        fields = dict(marshmallow_fields.in_order(parent))
    if not isinstance(fields, Mapping):
        raise TypeError(f"it returned {type(fields).__name__}; a dict of fields is needed")
    return fields


def _schema(schema: Any) -> tuple[str, Any]:
    """(name, schema instance); ("", None) for no schema. Raises whatever building it raises."""
    if schema is None or schema == {}:
        return "", None
    if isinstance(schema, Mapping):
        libraries = [marshmallow_fields.library(field) for field in schema.values()]
        if None in libraries:
            raise TypeError("it contains something that is not a marshmallow field")
        return DICT_SCHEMA_NAME, libraries[0].Schema.from_dict(dict(schema))()
    if not marshmallow_fields.is_schema(schema):
        raise TypeError(f"it is {type(schema).__name__}; a dict of fields or a Schema is needed")
    cls = schema if isinstance(schema, type) else type(schema)
    name = cls.__name__
    name = name[: -len("Schema")] if name.endswith("Schema") and name != "Schema" else name
    return name, schema() if isinstance(schema, type) else schema


def _items(metadata: Any) -> Any:
    """A dict's, or those of what behaves like one (importlib.metadata's messages)."""
    if metadata is None:
        return ()
    if not callable(getattr(metadata, "items", None)):
        raise TypeError(f"get_metadata returned {type(metadata).__name__}; a dict is needed")
    return metadata.items()


def _answer_types(arguments: list[Argument]) -> tuple[list[str], str | None]:
    accept = next((argument for argument in arguments if argument.name == "accept"), None)
    if accept is None:
        return [], None
    declared = accept.default if isinstance(accept.default, str) and accept.default != ANY_TYPE else None
    types = [str(choice) for choice in accept.choices or () if choice not in (ANY_TYPE, None)]
    if not types:
        return ([declared], declared) if declared else ([], None)
    return types, declared if declared in types else types[0]


def _versions() -> dict[str, str]:
    """Of Python and of the libraries that the plugin has brought along."""
    versions = {"python": platform.python_version()}
    for name in ("marshmallow", "webargs", "deepaas"):
        version = finding.installed_version(name) if name in sys.modules else ""
        if version:
            versions[name] = version
    return versions
