"""A call from what a front end was given, and the media type of its answer."""

from __future__ import annotations

from typing import Any

from modelport.contract.card import Card
from modelport.contract.prediction import Call, InputFile
from modelport.errors import InvalidArguments, NotAcceptable
from modelport.intake.accept import ANY, matches, names_nothing, ranges, stream_type
from modelport.intake.scratch import Scratch

JSON = "application/json"


def make_call(
    card: Card, method: str, values: dict[str, Any], files: list[InputFile], scratch: Scratch, **more: Any
) -> Call:
    """A call whose `accept`, where the plugin has one, is settled: the plugin never sees a wildcard.

    Raises InvalidArguments; NotAcceptable where values are to be streamed, and the plugin does not answer in JSON.
    """
    accept = None
    if method == "predict" and card.accept is not None:
        if more.get("stream"):
            _ask_for_json(card, values)
        accept = choose_answer_type(card, values.get("accept"))
        if accept is not None and ("accept" in values or not card.accept.required):
            values["accept"] = accept
    return Call(
        id=scratch.id, method=method, arguments=values, files=files, accept=accept, scratch=scratch.folder, **more
    )


def _ask_for_json(card: Card, values: dict[str, Any]) -> None:
    """Streams are of JSON values, whatever frames them."""
    accept = values.get("accept")
    if not isinstance(accept, str) or stream_type(accept):
        values["accept"] = accept = JSON
    offered = not card.answer_types or any(matches(media_type, JSON) for media_type in card.answer_types)
    if offered and choose_answer_type(card, accept) == JSON:
        return
    offers = ", ".join(card.answer_types)
    raise NotAcceptable(f"values are streamed as JSON, but the answer would be {accept}; the model gives {offers}")


def choose_answer_type(card: Card, accept: Any) -> str | None:
    """The media type to answer with: the best of the plugin's own for what the client wrote, else its default.

    accept: the text of an Accept header or argument, with lists, q-values and wildcards; None: not given.
    Raises InvalidArguments where the plugin answers in none of them.
    """
    if not isinstance(accept, str) or names_nothing(accept):
        return card.default_answer_type
    if not card.answer_types:
        return card.default_answer_type if "*" in accept or "," in accept else accept
    default_first = sorted(card.answer_types, key=lambda answer_type: answer_type != card.default_answer_type)
    for pattern in ranges(accept):
        if pattern in ANY:
            return card.default_answer_type
        for offered in default_first:
            if matches(offered, pattern):
                return offered
    choices = ", ".join(card.answer_types)
    raise InvalidArguments(
        f"accept: {accept[:200]!r} is none of {choices}", fields={"accept": [f"Must be one of: {choices}."]}
    )
