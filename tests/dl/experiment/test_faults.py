"""Mistakes in configurations: every message names the key, the value and what is expected, in the project's words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import gearshift as gs
from gearshift.__main__ import main
from gearshift.dl.experiment.config import parse, parse_as
from gearshift.dl.experiment.sections import Configuration, SearchConfiguration, Section
from gearshift.dl.experiment.training_search import TrainingSearchSection, prepare_training_search

LIBRARY = re.compile(
    r"\[type=|input should|value error|validation error|valid (integer|number|string|list|dict|bool)|instance of"
    r"|SearchRange|list\[|dict\[|<"
)
WRONG: list[Any] = [
    3,
    -1,
    2.5,
    "x",
    "",
    True,
    [],
    {},
    [{}],
    {"a": "x"},
    1e400,
    [[]],
    {"low": 1},
    {"low": "a", "hgh": 2},
]


def faults(kind: type[Section], table: dict[str, Any]) -> str:
    """The message; empty if there is none."""
    try:
        parse_as(kind, table)
    except gs.ConfigurationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", [Configuration, SearchConfiguration], ids=lambda kind: kind.__name__)
def test_no_message_has_the_words_of_the_library(kind: type[Section]) -> None:
    """Every key of every section with values of every kind."""
    seen = 0
    for section, field in kind.model_fields.items():
        for wrong in WRONG:
            assert not LIBRARY.search(message := faults(kind, {section: wrong})), message
        model: Any = field.annotation
        for key in model.model_fields:
            for wrong in WRONG:
                message = faults(kind, {"search": {"parameters": {"a": [1]}}, section: {key: wrong}})
                assert not LIBRARY.search(message), message
                assert not message or section in message, message
                seen += bool(message)
    assert seen > 100


SEARCHES = [
    ("alpha", 0.1, "search.parameters.alpha is 0.1; expected a list, as [0.1, 0.01], or a range, as {low = 1e-4, high"
        " = 0.1}"),
    ("alpha", {"low": 0.1}, "search.parameters.alpha.high is missing"),
    ("alpha", {"low": "a", "high": 1.0}, "search.parameters.alpha.low is 'a'; expected a number"),
    ("a", {"low": 0.1, "high": 1.0, "lg": True}, "search.parameters.a.lg is not a known key; did you mean 'log'?"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values", "message"), SEARCHES)
def test_parameters_of_a_search(name: str, values: Any, message: str, tmp_path: Path) -> None:
    """Of an estimator, and of a training."""
    assert faults(SearchConfiguration, {"search": {"parameters": {name: values}}}) == message
    with pytest.raises(gs.ConfigurationError) as raised:
        prepare_training_search({"search": {"parameters": {f"optimizer.{name}": values}}}, tmp_path)
    assert str(raised.value) == message.replace(f"s.{name}", f"s.optimizer.{name}", 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["train.epochs=x"], "train.epochs is 'x'; expected an integer"),
        (["train.epochs=0"], "train.epochs is 0; expected a number of at least 1"),
        (["model.dropout=1.0"], "model.dropout is 1.0; expected a number below 1"),
        (["data.target=3"], "data.target is 3; expected text or a list of texts"),
        (
            ["train.class_weight={a='x'}"],
            "train.class_weight is {'a': 'x'}; expected 'none' or 'balanced' or a list of numbers or a table of numb",
        ),
        (["train.accumulate=100"], "train: accumulate is 100, the parts of a batch, but batch_size is 32; a part has"),
        (["train.order=3"], "train.order is 3; expected one of: shuffled, once, replacement"),
        (["train.lr=0.1"], "train.lr is not a known key; did you mean 'optimizer.lr'?"),
        (["train.dropout=0.1"], "train.dropout is not a known key; did you mean 'model.dropout' or 'autoencoder.dropo"),
        (["data.drop=Address"], "data.drop is 'Address'; expected a list, as [\"Address\"]"),
        (["data.fetch=1"], "data.fetch is 1; expected true or false"),
        (["optimizer.groups=[{nams='a'}]"], "optimizer.groups.0.nams is not a known key; did you mean 'names'?"),
        (['data.categorical="a\\nb"'], "data.categorical is 'a\\nb'; expected a list, as [\"a\\nb\"]"),
        (["loss.heads={a={los='MSELoss'}}"], "loss.heads.a.los is not a known key; did you mean 'loss'?"),
        (
            ["train.epochs=x", "train.seed=-1"],
            "train.seed is -1; expected a number of at least 0; train.epochs is 'x'; expected an",
        ),
    ],
)
def test_settings(settings: list[str], message: str) -> None:
    with pytest.raises(gs.ConfigurationError) as raised:
        parse({}, settings)
    assert message in str(raised.value)


def test_a_key_of_none_means_its_default() -> None:
    """A TOML file cannot hold it, so a run's configuration that is read again has no such key."""
    layer = {"kind": "Embedding", "embedding_dim": 4, "name": "words"}
    table = {"model": {"layers": [{**layer, "length": None}], "dropout": None}, "train": None}
    assert parse(table) == parse({"model": {"layers": [layer]}})


def test_none_in_a_list_is_refused() -> None:
    with pytest.raises(gs.ConfigurationError, match=r"model\.layers\.heads is a list with None"):
        parse({"model": {"layers": [{"kind": "MultiHeadAttention", "heads": [None]}]}})


def test_a_method_that_is_none() -> None:
    with pytest.raises(gs.ConfigurationError, match=r"method is 'halvin'; did you mean 'halving'\?"):
        parse_as(TrainingSearchSection, {"method": "halvin", "parameters": {"a": [1]}})


def test_the_command_prints_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "search.toml"
    path.write_text('[search]\nparameters = {"optimizer.lr" = 0.1}\n')
    with pytest.raises(SystemExit) as ended:
        main(["search", str(path)])
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: search.parameters.optimizer.lr is 0.1; expected a list, as [0.1, 0.01], or a range")
