"""``kill -9`` at random moments never leaves a run that cannot be resumed to the same bits, of whatever kind it is."""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
from built_in import built_in
from killed import PRELOADED, train
from safetensors.numpy import load_file

import gearshift as gs
from gearshift.dl.optimizers.base import Optimizer

KILLS = int(os.environ.get("GEARSHIFT_KILLS", "3"))  # over all kinds together
NUMPY, NUMBA = ["backend.name='numpy'"], ["backend.name='numba'"]
ROWS = 96
WHOLE = [f"train.batch_size={ROWS}", "data.validation=0", "data.test=0", "model.hidden=[4]", "model.activation='tanh'"]
NOISY = (
    "model.layers=[{kind='GaussianNoise',deviation=0.1},{kind='Linear',out_features=8},{kind='Tanh'},{kind='Linear'}]"
)
TOKENS = (
    "model.layers=[{kind='Embedding',embedding_dim=8,length=9},{kind='Residual',layers=[{kind='LayerNorm'},"
    "{kind='MultiHeadAttention',heads=2,causal=true,dropout=0.1}]},{kind='LayerNorm'},{kind='Linear'}]"
)
KINDS = {
    "patience": [*NUMPY, "model.hidden=[32]", "train.patience=100"],
    "SGD": [*NUMBA, "model.hidden=[16]", "model.dropout=0.3"],
    "Momentum": [*NUMPY, "model.hidden=[16]", "schedule.name='cosine'", "schedule.warmup=9"],
    "Nesterov": [*NUMBA, "model.hidden=[16]", "model.batch_norm=true"],
    "Adagrad": [*NUMPY, NOISY, "train.l1=1e-4"],
    "RMSprop": [*NUMBA, "model.hidden=[16]", "optimizer.momentum=0.5", "optimizer.centered=true", "train.patience=3"],
    "Adadelta": [*NUMPY, "model.hidden=[16]", "train.accumulate=2", "train.clip_norm=0.5"],
    "Adam": [*NUMBA, "data.source='mapped'", "model.hidden=[16]", "train.order='replacement'"],
    "AdamW": [*NUMBA, "model.hidden=[16]", "watch.gradient_norms=true", "watch.curvature=true", "watch.rows=50"],
    "DeltaBarDelta": [*NUMBA, *WHOLE],
    "Newton": [*NUMPY, "data.source='mapped'", *WHOLE, "model.hidden=[]"],
    "NewtonCG": [*NUMBA, *WHOLE],
    "RandomPerturbation": [*NUMPY, *WHOLE],
    "flat": [*NUMPY, *WHOLE, "optimizer.lr=1e-9", "watch.flat_epochs=3", "watch.restart=true"],
    "stacked": [*NUMBA, "autoencoder.kind='stacked'", "model.hidden=[16]", "autoencoder.code=4"],
    "variational": [*NUMPY, "autoencoder.kind='variational'", "model.hidden=[16]", "autoencoder.code=4"],
    "transformer": [*NUMBA, "data.source='tokens.txt'", "data.length=9", "data.standardize=false", TOKENS],
}


def test_every_optimizer_is_killed() -> None:
    assert set(built_in(Optimizer.registered)) <= set(KINDS)


def command(kind: str, run: Path) -> list[str]:
    """What starts a training afresh or goes on."""
    name = [f"optimizer.name='{kind}'"] if kind in Optimizer.registered else []
    settings = ["data.source='small.npz'", "train.epochs=60", "train.batch_size=4", "checkpoint.every_seconds=0.001"]
    settings += [*name, *KINDS[kind]]
    chosen = [part for setting in settings for part in ("--set", setting)]
    return ["train", "--resume", "--quiet", "--run", str(run), *chosen]


def began(arguments: list[str]) -> multiprocessing.process.BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=train, args=(arguments,))
    process.start()
    return process


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.long] * (kind != "patience")) for kind in KINDS]
)
def test_kills(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed again and again, whenever it is over begun anew, ends like one that was left alone."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path)
    start = time.monotonic()
    whole = began(command(kind, tmp_path / "whole"))
    whole.join()
    assert whole.exitcode == 0
    seconds, expected = time.monotonic() - start, outcome(tmp_path / "whole")
    chance = random.Random(kind)
    wanted = KILLS if len(KINDS) > KILLS else -(-KILLS // len(KINDS))
    kills = runs = 0
    while kills < wanted or runs == 0:
        run = tmp_path / f"run{runs}"
        while True:
            start = time.monotonic()
            process = began(command(kind, run))
            process.join(chance.uniform(0.1, 1) * seconds if kills < wanted else None)
            if process.exitcode is not None:
                seconds = min(seconds, time.monotonic() - start)  # the first may have compiled kernels
                break
            process.kill()
            process.join()
            kills += 1
        assert process.exitcode == 0
        assert outcome(run) == expected
        runs += 1
    print(f"{kind}: {kills} kills over {runs} runs: all bits as in the run that was left alone")


def written(folder: Path) -> None:
    """Data, the same as a folder whose features are mapped, and a text."""
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((ROWS, 5)).astype(np.float32), np.arange(ROWS) % 3
    np.savez(folder / "small.npz", x=x, y=y)
    (folder / "mapped").mkdir()
    np.save(folder / "mapped" / "x.npy", x)
    np.save(folder / "mapped" / "y.npy", y)
    (folder / "tokens.txt").write_text("".join(generator.choice(list("abcdef "), 2000)), encoding="utf-8")


def outcome(run: Path) -> tuple[dict[str, bytes], list[dict[str, float]]]:
    """Every tensor's bits, and the metrics, both without timings."""
    tensors = {f"{name} {key}": value.tobytes() for name in ("best", "last")
               for key, value in load_file(run / f"{name}.safetensors").items() if key != "history"}  # fmt: skip
    timings = ("seconds", "samples_per_second")
    return tensors, [{k: v for k, v in record.items() if k not in timings} for record in gs.Run(run).history]
