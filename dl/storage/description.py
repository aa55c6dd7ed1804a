"""Pydantic models of the JSON in a checkpoint: the model, its classes, the run and its history."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ...backends.errors import CheckpointError, ConfigurationError
from ..values import check_values

Count = Annotated[int, Field(ge=0, lt=2**62)]
Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it has unprintable characters")
    return text


Name = Annotated[str, AfterValidator(_printable)]


class RunState(BaseModel):
    """The state of a run."""

    model_config = ConfigDict(extra="allow", strict=True)
    step: Count
    cursor: Count
    epoch: Count
    seed: Annotated[int, Field(ge=0, lt=2**64)]
    optimizer: Name
    loss: Name
    monitor: Name
    best: float | None
    best_epoch: Count
    choices: dict[str, Any] | None = None


class Description(BaseModel):
    """A model and, for a trainer's checkpoint, its run."""

    model_config = ConfigDict(extra="allow", strict=True)
    model: dict[str, Any]
    classes: list[Integer | str] | None
    run: RunState | None
    loss: dict[str, Any] | None = None
    signed: list[Annotated[int, Field(ge=0, lt=2**31)]] = []


class EpochRecord(BaseModel):
    """The required fields of an epoch's record; all values are numbers."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, Integer | float] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]
    epoch: Integer
    loss: float


RECORDS = TypeAdapter(list[EpochRecord])


def check_description(body: Any) -> None:
    """Raises CheckpointError unless `body` is a valid `Description`; the message names the first fault."""
    try:
        check_values("", body, finite=False, most=2**64)  # seeds, and words of cuBLASLt's algorithms
        Description.model_validate(body)
    except ValidationError as error:
        raise CheckpointError(_first(error)) from None
    except ConfigurationError as error:
        raise CheckpointError(str(error)) from None


def check_records(records: Any) -> None:
    """Raises CheckpointError unless `records` are valid epoch records."""
    try:
        RECORDS.validate_python(records)
    except ValidationError as error:
        raise CheckpointError(f"history.{_first(error)}") from None


def _first(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, fault['loc'])) or 'it'}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
