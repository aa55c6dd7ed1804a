"""Checkpoints and run directories that somebody damaged or forged: refused in one line, or right to use."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

if sys.platform != "linux":
    pytest.skip("limits of memory and time are set as Linux has them", allow_module_level=True)

from fuzzing import CASES, Fuzzer, command, mutated, scrambled

import gearshift as gs
from gearshift.dl.experiment import build as experiment
from gearshift.dl.experiment.config import read
from gearshift.dl.experiment.run_files import BEST, CONFIG, ENVIRONMENT, LAST, METRICS

RUNS = {
    "labels": ["model.hidden=[3]", "model.batch_norm=true", "train.patience=5"],
    "codes": ["model.hidden=[3]", 'autoencoder.kind="variational"', "autoencoder.code=2"],
    "graph": [
        'model.layers=[{kind="Linear",out_features=4},{name="r",kind="Residual",layers=[{kind="Linear",out_features=4}]},'
        '{kind="Concatenate",inputs=["r","0"]},{kind="Linear"}]',
        'optimizer.name="Momentum"',
        "watch.gradient_norms=true",
    ],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small runs of one epoch, which had a second before them, and rows to predict for."""
    folder, random = tmp_path_factory.mktemp("runs"), np.random.default_rng(0)
    x = random.standard_normal((30, 5)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=np.array(["cat", "dog", "emu"] * 10))
    np.save(folder / "rows.npy", x[:4])
    found = {}
    for name, settings in RUNS.items():
        found[name] = folder / name
        options = [f"data.source={folder / 'data.npz'}", "train.epochs=2", "train.batch_size=8", *settings]
        chosen = [part for setting in options for part in ("--set", setting)]
        command("train", "--quiet", "--backend", "numpy", "--run", str(found[name]), *chosen, right=(0,))
    return found


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def forged(random: Random, header: dict[str, Any], data: bytes) -> bytes:
    """A checkpoint whose header, description, records or numbers have been changed."""
    kind = random.randrange(8)
    text, header = header["__metadata__"]["gearshift"], dict(header)
    if kind < 4:
        body = mutated(random, json.loads(text))
        text = json.dumps(body)
    elif kind == 4 and "history" in header:
        start, stop = header["history"]["data_offsets"]
        records = mutated(random, json.loads(data[start:stop]))
        extra = json.dumps(records).encode("utf-8", "replace")
        data = data[:start] + extra + data[stop:]
        grown = len(extra) - (stop - start)
        header = {
            name: info
            if name == "__metadata__" or info["data_offsets"][0] < start
            else {**info, "data_offsets": [at + grown * (at > start) for at in info["data_offsets"]]}
            for name, info in header.items()
        }
        header["history"] = {"dtype": "U8", "shape": [len(extra)], "data_offsets": [start, start + len(extra)]}
    elif kind == 5:
        header = mutated(random, header)
    elif kind == 6:
        numbers = np.frombuffer(data[: len(data) // 8 * 8], np.float32).copy()
        numbers[random.randrange(len(numbers))] = random.choice((np.nan, np.inf, -1, 0, 3e38, 1e-40))
        data = numbers.tobytes() + data[len(data) // 8 * 8 :]
    if isinstance(header, dict) and isinstance(header.get("__metadata__"), dict):
        header["__metadata__"] = {**header["__metadata__"], "gearshift": text}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    content = len(head).to_bytes(8, "little") + head + data
    return scrambled(random, content) if kind == 7 else content


@pytest.mark.slow
def test_checkpoints(runs: dict[str, Path], tmp_path: Path) -> None:
    configurations = {name: read(path / CONFIG) for name, path in runs.items()}
    splits = {name: experiment.load(configuration) for name, configuration in configurations.items()}
    files = {(name, file): parts(path / file) for name, path in runs.items() for file in (BEST, LAST)}
    saved, work = tmp_path / "checkpoint", tmp_path / "run"
    rows = np.load(next(iter(runs.values())).parent / "rows.npy")

    def trainer(name: str) -> gs.Trainer:
        return experiment.build_trainer(configurations[name], splits[name], "numpy")

    def whole(random: Random, name: str, content: bytes) -> None:
        """The commands, on a run directory that holds the checkpoint, or whose other files are damaged."""
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(runs[name], work)
        if random.random() < 0.8:
            (work / random.choice((LAST, BEST))).write_bytes(content)
        else:
            file = work / random.choice((CONFIG, METRICS, ENVIRONMENT))
            file.write_bytes(scrambled(random, file.read_bytes()))
        way = random.randrange(3)
        if way == 0:
            command("train", "--resume", "--quiet", "--backend", "numpy", "--run", str(work), "--set", "train.epochs=3")
        elif way == 1:
            command("evaluate", str(work), "--backend", "numpy", *random.choice(([], ["--json"])))
        else:
            files = "--input", str(runs[name].parent / "rows.npy"), "--output", str(tmp_path / "answers.npy")
            command("predict", str(work), "--backend", "numpy", *files)

    def case(random: Random) -> None:
        name = random.choice(list(runs))
        content = forged(random, *files[name, random.choice((BEST, LAST, LAST))])
        saved.write_bytes(content)
        way = random.randrange(10)
        if way == 0:
            whole(random, name, content)
        elif way < 5:
            model = gs.load(saved)
            repr(model)
            gs.Trainer(model, gs.MSELoss(), gs.SGD(), backend="numpy").predict(rows)
        else:
            own = trainer(name)
            own.load(saved)
            own.fit(splits[name].train, validation=splits[name].validation, batch_size=8, patience=5, verbose=False)
            own.save(saved)
            trainer(name).load(saved)
            gs.load(saved)

    Fuzzer("checkpoints", CASES or 150).run(case)
