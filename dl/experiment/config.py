"""Reads and writes configurations: a TOML file and ``key=value`` settings over it."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ...backends.errors import ConfigurationError
from ..data.sources import NAMED
from ..optimizers.schedules import schedules
from ..storage.files import TEXT, expanded, read_bytes
from ..values import check_values
from .faults import described, shown
from .sections import Configuration, OptimizerSection, ScheduleSection

Kind = TypeVar("Kind", bound=BaseModel)


def parse(table: dict[str, Any], settings: Sequence[str] = ()) -> Configuration:
    """The configuration of a training; see `parse_as`."""
    return parse_as(Configuration, table, settings)


def parse_as(kind: type[Kind], table: dict[str, Any], settings: Sequence[str] = ()) -> Kind:
    """The configuration of a table read from TOML, with ``key=value`` settings applied over it.

    Raises
    ------
    ConfigurationError
        A key is unknown, or a value has the wrong type or is out of range; the message lists all errors.
    """
    merged = {name: dict(value) if isinstance(value, dict) else value for name, value in table.items()}
    for setting in settings:
        key, equals, text = setting.partition("=")
        section, dot, name = key.strip().partition(".")
        if not equals or not dot:
            raise ConfigurationError(f"--set {setting!r} is not of the form section.key=value")
        target = merged.setdefault(section, {})
        if not isinstance(target, dict):
            raise ConfigurationError(f"{section} is {target!r}; expected a table of keys")
        target[name] = _value(key.strip(), text.strip())
    check_values("", merged)
    try:
        return kind.model_validate(_without_none(merged))
    except ValidationError as error:
        raise ConfigurationError(described(kind, error, merged)) from None


def _without_none(value: Any, key: str = "") -> Any:
    """The value without keys of None, at any depth: a TOML file cannot hold them, and they mean the default."""
    if isinstance(value, dict):
        return {name: _without_none(one, f"{key}.{name}") for name, one in value.items() if one is not None}
    if not isinstance(value, list):
        return value
    if any(one is None for one in value):
        raise ConfigurationError(f"{key[1:]} is a list with None, which a TOML file cannot hold; leave it out")
    return [_without_none(one, key) for one in value]


def read(path: str | Path, settings: Sequence[str] = ()) -> Configuration:
    """The configuration of a training from a TOML file, with settings applied over it."""
    return read_as(Configuration, path, settings)


def read_as(kind: type[Kind], path: str | Path, settings: Sequence[str] = ()) -> Kind:
    """The configuration of a TOML file, with settings applied over it."""
    try:
        text = read_bytes(path, TEXT).decode("utf-8-sig")  # Windows editors write a byte order mark
    except OSError as error:
        raise ConfigurationError(f"cannot read configuration {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = 1 + error.object.count(b"\n", 0, error.start)
        raise ConfigurationError(f"{path} is not UTF-8 text, line {line} is not; save it as UTF-8") from None
    return parse_text(kind, text, path, settings)


def parse_text(kind: type[Kind], text: str, path: str | Path, settings: Sequence[str] = ()) -> Kind:
    """The configuration in TOML that was found in the file `path`, with settings applied over it."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also integers of thousands of digits, which Python refuses
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from None
    try:
        return parse_as(kind, table, settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def rooted(configuration: Configuration) -> Configuration:
    """The configuration with an absolute path if the source is a file or folder."""
    source = expanded(configuration.data.source)
    if configuration.data.source in NAMED or not source.exists():
        return configuration
    data = configuration.data.model_copy(update={"source": str(source.resolve())})
    return configuration.model_copy(update={"data": data})


def write(configuration: Configuration) -> str:
    """The complete configuration as TOML."""
    import tomli_w

    return tomli_w.dumps(configuration.model_dump(exclude_none=True))


def changes(configuration: Configuration) -> list[str]:
    """The ``key=value`` settings that turn the defaults into this configuration; see `parse_as`."""
    chosen, schedule = {"name": configuration.optimizer.name}, configuration.schedule
    falling = ScheduleSection.model_validate({"name": schedule.name, "steps": schedule.steps})
    taken = ("name", *inspect.signature(schedules()[schedule.name]).parameters)  # others have no effect
    usual = Configuration(optimizer=OptimizerSection.model_validate(chosen)).model_dump()
    usual["optimizer"]["name"], usual["schedule"]["final"] = OptimizerSection().name, falling.final
    return [
        f"{section}.{key}={_written(value)}"
        for section, keys in configuration.model_dump(exclude_none=True).items()
        for key, value in keys.items()
        if (key not in usual[section] or usual[section][key] != value) and (section != "schedule" or key in taken)
    ]


def _written(value: Any, inside: bool = False) -> str:
    """A value as TOML on one line; text is a bare word if possible, unless it is inside another value."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key, ensure_ascii=False)}={_written(of, True)}" for key, of in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_written(of, True) for of in value) + "]"
    if isinstance(value, str) and not inside and re.fullmatch(r"[\w./-]+", value) and _value("", value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _value(key: str, text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word is a string, as on any command line
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{key} is {shown(text)}, which cannot be read: {error}") from None
