"""What is wrong with a configuration, in the words of the project's errors."""

from __future__ import annotations

import json
import re
import reprlib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ..hints import hint

EXPECTED = {  # by pydantic's types of errors
    "bool_type": "true or false",
    "dict_type": "a table of keys",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "int_from_float": "an integer",
    "int_type": "an integer",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "list_type": "a list",
    "model_type": "a table of keys",
    "string_too_short": "text that is not empty",
    "string_type": "text",
    "too_short": "at least {min_length} key",
}
KINDS = {  # of a key that takes several
    "str": "text",
    "list[str]": "a list of texts",
    "list[float]": "a list of numbers",
    "dict[str,float]": "a table of numbers",
}
SECTIONS = {"search": ', which lists what to try, as [search.parameters] "optimizer.lr" = [1e-3, 1e-2]'}
"""What a section that must be there is for."""
LITERAL = re.compile(r"'([^']+)'")

_shown = reprlib.Repr()  # long values are cut short in messages
_shown.maxstring = _shown.maxother = 100
shown = _shown.repr


def described(kind: type[BaseModel], error: ValidationError, given: dict[str, Any]) -> str:
    """All faults of a configuration of this kind, in one line."""
    single, several = [], {}
    lacking = [fault for fault in error.errors() if fault["type"] == "missing" and len(fault["loc"]) == 1]
    for fault in lacking or error.errors():  # without its section a file is of another kind, and its keys are no faults
        place = tuple(part for part in fault["loc"] if not str(part).startswith("<"))  # a tag of a union
        label = next((at for at, part in enumerate(place) if _is_kind(str(part), last=at + 1 == len(place))), None)
        if label is None:
            single.append(_message(kind, place, fault))
        else:
            several.setdefault(place[:label], []).append(_kind(str(place[label])))
    for place, labels in several.items():
        expected = " or ".join(dict.fromkeys(labels))
        single.append(f"{_dotted(place)} is {shown(_value(given, place))}; expected {expected}")
    return "; ".join(single)


def _message(kind: type[BaseModel], place: tuple[Any, ...], fault: Any) -> str:
    key, what, name = _dotted(place), shown(fault["input"]), fault["type"]
    if name == "missing":
        return f"the section [{key}] is missing{SECTIONS.get(key, '')}" if len(place) == 1 else f"{key} is missing"
    if name == "extra_forbidden":
        sections = kind.model_fields.items()
        elsewhere = [f"{section}.{place[-1]}" for section, field in sections if place[-1] in _keys(field)]
        if len(place) == 2 and elsewhere:
            return f"{key} is not a known key; did you mean {' or '.join(map(repr, elsewhere))}?"
        return f"{key} is not a known key; {hint(str(place[-1]), _known(kind, place))}"
    if name == "literal_error":
        words = LITERAL.findall(fault["ctx"]["expected"])
        near = (
            hint(fault["input"], words) if isinstance(fault["input"], str) else f"expected one of: {', '.join(words)}"
        )
        return f"{key} is {what}; {near}"
    if name == "unknown_key":
        return fault["msg"]
    if name == "value_error":  # of a section, whose text names the key
        return f"{key}: {fault['ctx']['error']}"
    if name == "list_type" and isinstance(fault["input"], str):
        text = fault["input"] if len(fault["input"]) < 100 else "…"
        return f"{key} is {what}; expected a list, as {_listed(text)}"
    if name == "list_type" and isinstance(fault["input"], int | float) and not isinstance(fault["input"], bool):
        return f"{key} is {what}; expected a list, as [{what}]"
    if name in EXPECTED:
        return f"{key} is {what}; expected {EXPECTED[name].format(**fault.get('ctx', {}))}"
    return f"{key} is {what}; {fault['msg']}"


def _dotted(place: tuple[Any, ...]) -> str:
    return ".".join(map(str, place))


def _is_kind(part: str, *, last: bool) -> bool:
    """Whether a part of a place is not a key but one of the kinds of values that the key may have."""
    return (part in KINDS and (last or "[" in part)) or part.startswith("literal[")


def _kind(part: str) -> str:
    return KINDS.get(part) or " or ".join(repr(word) for word in LITERAL.findall(part))


def _value(given: Any, place: tuple[Any, ...]) -> Any:
    """What was given at a place."""
    for part in place:
        given = given[part]
    return given


def _known(kind: type[BaseModel], place: tuple[Any, ...]) -> list[str]:
    """The keys that are known beside the last one of a place."""
    for part in place[:-1]:
        field = kind.model_fields.get(str(part))
        kind = kind if field is None else next(_sections(field.annotation), kind)
    return list(kind.model_fields)


def _keys(field: Any) -> list[str]:
    """The keys of a section."""
    return [key for section in _sections(field.annotation) for key in section.model_fields]


def _sections(annotation: Any) -> Any:
    """The sections that a type consists of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _sections(part)


def _listed(text: str) -> str:
    """Text that should be a list, as a list of JSON: a list whose texts lack their quotes, or the only item."""
    bare = text.startswith("[") and text.endswith("]")
    items = [item.strip() for item in text[1:-1].split(",")] if bare else [text]
    quoted = (item if _is_number(item) else json.dumps(item, ensure_ascii=not item.isprintable()) for item in items)
    return f"[{', '.join(quoted)}]" if bare else f"[{json.dumps(text, ensure_ascii=not text.isprintable())}]"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
