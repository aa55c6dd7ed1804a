"""Configurations that nobody could mean: refused in one line, or trained with; never a traceback, never a hang."""

# ruff: noqa: E501 - tables of cases are read by the row
from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import tomli_w

if sys.platform != "linux":
    pytest.skip("limits of memory and time are set as Linux has them", allow_module_level=True)

from fuzzing import CASES, VALUES, Fuzzer, command, mutated, scrambled

from gearshift.dl.experiment import build as experiment
from gearshift.dl.experiment.config import parse, parse_as, read, write
from gearshift.dl.experiment.schedule import settled
from gearshift.dl.experiment.search import prepare
from gearshift.dl.experiment.sections import SearchConfiguration

BASES = {
    "labels": """
        model = { hidden = [4], activation = "tanh", dropout = 0.1, batch_norm = true, dtype = "float64" }
        optimizer = { name = "AdamW", lr = 1e-3, weight_decay = 0.1, groups = [{ names = "1.*", lr = 1e-2 }] }
        schedule = { name = "cosine", warmup = 2, steps = 9, final = 0.1 }
        train = { batch_size = 5, seed = 3, patience = 2, monitor = "validation_accuracy", class_weight = [1.0, 2.0, 0.5] }
        watch = { gradient_norms = true, rows = 7, flat_epochs = 2, restart = true }
        """,
    "values": """
        model = { hidden = [3, 2], activation = "maxout", pieces = 2, init = "uniform" }
        loss = { heads = { a = { loss = "MSELoss", weight = 0.5 }, b = { loss = "HingeLoss" } } }
        optimizer = { name = "Momentum", lr = 0.01, momentum = { start = 0.5, stop = 0.9, steps = 10 } }
        schedule = { name = "step", steps = 3, gamma = 0.5 }
        train = { batch_size = 6, accumulate = 2, l1 = 1e-3, clip_norm = 1.0, clip_value = 0.5, loss_goal = 0.1 }
        """,
    "codes": """
        model = { hidden = [4], activation = "gelu" }
        autoencoder = { kind = "denoising", code = 2, noise = "masking", amount = 0.2, dropout = 0.1, weight = 0.5, rate = 0.1 }
        optimizer = { name = "NewtonCG", damping = 1e-3, iterations = 3, tol = 1e-3 }
        train = { batch_size = 8, soft_threshold = 0.0, order = "replacement", precision = "float32" }
        """,
    "tokens": """
        data = { standardize = false, validation = 0.2, test = 0.2 }
        optimizer = { name = "RMSprop", alpha = 0.9, eps = 1e-6, momentum = 0.1, centered = true }
        [[model.layers]]
        name = "words"
        kind = "Embedding"
        embedding_dim = 4
        length = 5
        padding = 0
        [[model.layers]]
        kind = "Residual"
        layers = [{ kind = "LayerNorm" }, { kind = "MultiHeadAttention", heads = 2, causal = true, dropout = 0.1 }]
        [[model.layers]]
        name = "head"
        kind = "MeanPooling"
        [[model.layers]]
        name = "out"
        kind = "Linear"
        inputs = ["head"]
        """,
    "graph": """
        model = { inputs = { a = 2, b = 4 }, layers = [
            { name = "one", kind = "Linear", inputs = ["b"], out_features = 3, bias = true, init = "he" },
            { kind = "Concatenate", inputs = ["a", "one"] }, { kind = "Maxout", pieces = 1 }, { kind = "BatchNorm1d" },
            { kind = "GaussianNoise", deviation = 0.1 }, { kind = "KLSparsity", rate = 0.1, weight = 1e-3 },
            { kind = "Linear" } ] }
        loss = { name = "CrossEntropyLoss" }
        """,
}
DATA = {
    "labels": "labels.csv",
    "values": "values.csv",
    "codes": "labels.csv",
    "tokens": "tokens.npz",
    "graph": "labels.csv",
}
SEARCH = """
    estimator = { max_iter = 2, hidden_layer_sizes = [3], solver = "adam", early_stopping = false }
    search = { method = "random", candidates = 2, folds = 2, scoring = "accuracy", seed = 1, parameters = {
        alpha = { low = 1e-5, high = 1e-1, log = true }, batch_size = { low = 2, high = 8, whole = true },
        activation = ["relu", "tanh"] } }
    """


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    x = random.standard_normal((30, 6))
    header = ",".join("abcdef")
    np.savetxt(
        folder / "labels.csv", np.column_stack([x, np.arange(30) % 3]), "%g", ",", header=f"{header},y", comments=""
    )
    np.savetxt(folder / "values.csv", np.column_stack([x, x[:, :2]]), "%g", ",", header=f"{header},y,z", comments="")
    np.savez(folder / "tokens.npz", x=random.integers(0, 7, (30, 5)).astype(np.uint8), y=np.arange(30) % 3)
    return folder


def bases(folder: Path) -> dict[str, dict[str, Any]]:
    found = {name: tomllib.loads(text.replace("\n            ", " ")) for name, text in BASES.items()}
    for name, table in found.items():
        table.setdefault("data", {})["source"] = str(folder / DATA[name])
        table["backend"] = {"name": "numpy"}
    found["values"]["data"] |= {"target": ["y", "z"], "labels": "values"}
    found["search"] = tomllib.loads(SEARCH.replace("\n        ", " ")) | {
        "data": {"source": str(folder / "labels.csv")}
    }
    return found


def tamed(table: Any) -> Any:
    """Nothing is downloaded, no process is started, and nothing trains for long: these may be asked for, and are right."""
    if isinstance(table, dict):
        for section, key in (
            ("data", "fetch"),
            ("search", "jobs"),
            ("search", "candidates"),
            ("autoencoder", "pretrain"),
        ):
            if isinstance(table.get(section), dict) and table[section].get(key) not in (None, [], {}, "", "x", 2**63):
                table[section].pop(key)
    return table


def settings(random: Random) -> list[str]:
    keys = [f"{section}.{key}" for section, part in tomllib.loads(write(parse({}))).items() for key in part]
    chosen = random.sample(keys, random.choice((1, 1, 2)))
    values = [str(random.choice(VALUES)).replace("'", '"') for _ in chosen]
    return [f"{key}={value}" for key, value in zip(chosen, values, strict=True) if key not in ("data.fetch",)]


def test_configurations(folder: Path, tmp_path: Path) -> None:
    known, file = bases(folder), tmp_path / "configuration.toml"
    for name, table in known.items():  # which are right; and what they import is not timed
        experiment.build(parse(table)) if name != "search" else prepare(parse_as(SearchConfiguration, table))

    def case(random: Random) -> None:
        name = random.choice(list(known))
        whole = random.random() < 0.5 and name != "search"  # every key spelled out
        table = parse(known[name]).model_dump(exclude_none=True) if whole else known[name]
        table = tamed(mutated(random, table, known[random.choice(list(known))]))
        if not isinstance(table, dict):
            return
        if name == "search":
            prepare(parse_as(SearchConfiguration, table))
            return
        way = random.randrange(4)
        if way == 0:
            configuration = parse(table, settings(random))
        elif way == 1:
            file.write_bytes(scrambled(random, tomli_w.dumps(known[name]).encode()))
            configuration = read(file)
            configuration = parse(tamed(configuration.model_dump(exclude_none=True)))
        else:
            configuration = parse(table)
        splits, trainer = experiment.build(configuration)
        assert read_back(configuration, file) == configuration
        if random.random() < 0.2:
            settled(configuration, splits)
            train = configuration.train
            trainer.fit(
                splits.train,
                validation=splits.validation,
                batch_size=train.batch_size,
                patience=train.patience or None,
                monitor=train.monitor,
                order=train.order,
                accumulate=train.accumulate,
                class_weight=None if train.class_weight == "none" else train.class_weight,
                callbacks=experiment.build_callbacks(configuration, splits),
                verbose=False,
            )

    Fuzzer("configurations", 2 * CASES or 150).run(case)


def read_back(configuration: Any, file: Path) -> Any:
    """What is written can be read."""
    file.write_text(write(configuration), encoding="utf-8")
    return read(file)


def test_command_lines(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    known, file = bases(folder), tmp_path / "configuration.toml"
    backend = ["--set", "backend.name=numpy"]
    limits = ["--set", "train.epochs=1", "--set", "data.fetch=false", *backend]
    limits += ["--set", "autoencoder.pretrain=1"]

    def case(random: Random) -> None:
        name = random.choice(list(known))
        table = tamed(mutated(random, known[name]))
        try:
            file.write_text(tomli_w.dumps(table), encoding="utf-8")
        except (TypeError, AttributeError, ValueError, RecursionError):  # no TOML
            file.write_bytes(scrambled(random, tomli_w.dumps(known[name]).encode()))
        options = [part for setting in settings(random) for part in ("--set", setting)] if random.random() < 0.3 else []
        if name == "search":
            command("search", str(file), "--quiet", "--set", "search.jobs=1", "--set", "search.candidates=2", *backend)
        elif random.random() < 0.1:
            command("lr", str(file), "--quiet", "--iterations", "2", "--rates", "1e-3,1e-1", *options, *limits)
        else:
            run = random.choice(("run", "run", "run", str(random.choice(VALUES)).replace("/dev", "dev")))
            command("train", str(file), "--quiet", *options, *limits, "--run", run if "\0" not in run else "run")

    Fuzzer("command lines", CASES // 50 or 5).run(case)
