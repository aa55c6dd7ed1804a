"""Autoencoders of every kind: from Python and from a configuration, their pictures, and training layer by layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA

import gearshift as gs
from gearshift.__main__ import main
from gearshift.backends.errors import ConfigurationError, ShapeError
from gearshift.dl.data.reconstruction import scale_of
from gearshift.dl.experiment import pictures
from gearshift.dl.experiment.build import build
from gearshift.dl.experiment.config import parse
from gearshift.dl.training import pretraining

KINDS = ["undercomplete", "sparse", "denoising", "contractive", "stacked", "variational"]
BACKENDS = ["numpy", "numba"]
DIGITS: dict[str, Any] = {"model": {"hidden": [24]}, "autoencoder": {"code": 8}, "train": {"epochs": 3}}


def configured(kind: str, **more: Any) -> Any:
    return parse({**DIGITS, "autoencoder": {**DIGITS["autoencoder"], "kind": kind, **more}})


@pytest.mark.parametrize("kind", KINDS)
def test_encoder_and_decoder_mirror_each_other(kind: Any) -> None:
    model = gs.autoencoder(20, 3, [12, 7], kind=kind)
    weights = [p.shape for p in model.parameters() if len(p.shape) == 2 and "log_variance" not in p.name]
    assert weights == [(20, 12), (12, 7), (7, 3), (3, 7), (7, 12), (12, 20)]
    assert [p.shape for p in gs.autoencoder(20, 3, kind=kind).parameters() if len(p.shape) == 2][-1] == (3, 20)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_the_digits_from_a_configuration(kind: str, backend: str) -> None:
    splits, trainer = build(configured(kind), backend)
    assert splits.classes is None
    assert splits.train.y.shape == splits.train.x.shape
    before = trainer.evaluate(splits.test)["loss"]
    trainer.fit(splits.train, epochs=8, batch_size=32, verbose=False)
    assert trainer.evaluate(splits.test)["loss"] < 0.75 * before
    assert pretraining.codes(trainer, splits.test.x).shape == (len(splits.test), 8)


def test_bytes_are_shares_of_255_and_take_the_logistic_loss(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    np.savez(tmp_path / "bytes.npz", x=random.integers(0, 256, (40, 5, 4)).astype(np.uint8), y=np.arange(40) % 2)
    splits, trainer = build(
        parse({**DIGITS, "data": {"source": str(tmp_path / "bytes.npz")}, "autoencoder": {"kind": "variational"}})
    )
    assert isinstance(trainer.loss, gs.BCEWithLogitsLoss)
    assert np.array_equal(splits.train.y, splits.train.x.reshape(-1, 20).astype(np.float32) / np.float32(255))
    samples = pretraining.sampled(trainer, 7)
    assert samples.shape == (7, 20)
    assert samples.min() >= 0
    assert samples.max() <= 1
    assert np.array_equal(samples, pretraining.sampled(trainer, 7))
    assert not np.array_equal(samples, pretraining.sampled(trainer, 7, seed=1))


@pytest.mark.parametrize("name", ["HingeLoss", "BCEWithLogitsLoss"])
def test_a_run_is_evaluated_by_its_own_loss(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((60, 3)).astype(np.float32)
    np.savez(tmp_path / "two.npz", x=x, y=(x[:, 0] > 0).astype(np.int64))
    options = ("--set", f"data.source={tmp_path / 'two.npz'}", "--set", f"loss.name={name}", "--set", "train.epochs=30")
    with pytest.raises(SystemExit):
        main(
            [
                "train",
                *options,
                "--set",
                "optimizer.lr=0.1",
                "--set",
                "model.hidden=[]",
                "--run",
                str(tmp_path / "run"),
                "--quiet",
                "--json",
            ]
        )
    test = json.loads(capsys.readouterr().out)["test"]
    assert test["accuracy"] > 0.8


def test_a_linear_one_finds_the_principal_components() -> None:
    """Least squares through a linear code of k units: the first k components' projection (Bourlard and Kamp 1988)."""
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.standard_normal((6, 6)))[0]
    x = random.standard_normal((300, 6)) * np.array([4, 3, 1, 0.5, 0.3, 0.1]) @ turn
    x -= x.mean(axis=0)
    trainer = gs.Trainer(gs.autoencoder(6, 2, dtype="float64"), gs.MSELoss(), gs.Adam(lr=0.01), backend="numba")
    trainer.fit(x, x, epochs=1500, batch_size=300, verbose=False)
    pca = PCA(2).fit(x)
    best = np.mean((pca.inverse_transform(pca.transform(x)) - x) ** 2)
    assert best <= trainer.evaluate(x, x)["loss"] <= 1.005 * best


@pytest.mark.parametrize("backend", BACKENDS)
def test_layer_by_layer_then_jointly(backend: str) -> None:
    splits, trainer = build(
        parse({**DIGITS, "model": {"hidden": [40, 20]}, "autoencoder": {"kind": "stacked"}}), backend
    )
    untrained = trainer.evaluate(splits.test)["loss"]
    before = trainer.model.state_dict()
    losses = pretraining.pretrain(trainer, splits.train, epochs=5, batch_size=32)
    assert len(losses) == 3
    pretrained = trainer.evaluate(splits.test)["loss"]
    assert pretrained < 0.8 * untrained
    after = trainer.model.state_dict()
    assert after.keys() == before.keys()
    assert all(np.any(after[name] != before[name]) for name in after if name.endswith("weight"))
    trainer.fit(splits.train, epochs=5, batch_size=32, verbose=False)
    assert trainer.evaluate(splits.test)["loss"] < pretrained


def test_a_denoising_one_cleans_what_it_is_given() -> None:
    splits, trainer = build(configured("denoising", noise="gaussian", amount=1.0, code=16), "numba")
    trainer.fit(splits.train, epochs=30, batch_size=32, verbose=False)
    mean, deviation = scale_of(splits, True)
    noise = np.random.default_rng(0).standard_normal(splits.test.x.shape)
    given = splits.test.x + (noise * deviation).astype(np.float32)
    cleaned = trainer.outputs_of(trainer.model, given)
    assert np.mean((cleaned - splits.test.y) ** 2) < 0.9 * np.mean(noise**2)
    assert np.allclose(mean, splits.standardization()[0].ravel())


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.slow if kind == "variational" else pytest.mark.long) for kind in KINDS],
)
def test_the_command_trains_evaluates_and_draws(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'[model]\nhidden = [16]\n[autoencoder]\nkind = "{kind}"\ncode = 2\npretrain = 1\n')
    run = tmp_path / "run"

    def call(*arguments: object) -> str:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        assert not ended.value.code
        return capsys.readouterr().out

    result = json.loads(call("train", config, "--run", run, "--set", "train.epochs=2", "--quiet", "--json"))
    drawn = ["codes", "learning-curve", "reconstructions"] + ["samples"] * (kind == "variational")
    assert sorted(path.stem for path in run.glob("*.png")) == drawn
    assert json.loads(call("evaluate", run, "--json"))["test"] == result["test"]
    assert result["test"]["loss"] < 1.5  # of standardised rows, where no answer at all has 1
    call("train", "--run", run, "--resume", "--set", "train.epochs=3", "--quiet")


def test_pictures_of_what_is_no_image_are_refused() -> None:
    splits, trainer = build(configured("undercomplete"), "numpy")
    with pytest.raises(ShapeError, match=r"64 numbers are no images of shape \(8, 9\)"):
        pictures.reconstructions(trainer, splits.test.x, (8, 9))
    with pytest.raises(ConfigurationError, match="variational autoencoder"):
        pictures.samples(trainer, (8, 8))


@pytest.mark.parametrize(
    ("argument", "value"), [("kind", "overcomplete"), ("activation", "sine"), ("penalty", "l0"), ("noise", "salt")]
)
def test_unknown_words_are_refused(argument: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{argument} is '{value}'; expected one of"):
        gs.autoencoder(4, 2, **{argument: value})


class Stops(gs.Adam):
    """Asks a trainer to stop at a step, as a signal's handler would."""

    trainer: gs.Trainer
    at = 10**9

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        if step >= self.at:
            self.trainer.stop("SIGTERM")
        return super().constants(step, lr)


def test_a_stop_ends_the_training_of_pairs_too() -> None:
    """As it ends the joint one, whose next `fit` does not begin."""
    splits, trainer = build(configured("stacked"), "numpy")
    optimizer = trainer.optimizer = Stops()
    optimizer.trainer, optimizer.at = trainer, 1024  # asked for as the second block of constants is made
    assert pretraining.pretrain(trainer, splits.train, epochs=100, batch_size=32) == []
    assert trainer.stopping and trainer.stopped == "SIGTERM"
    trainer.fit(splits.train, verbose=False)
    assert (trainer.stopped, trainer.step) == ("SIGTERM", 0)


def test_pairs_begin_with_the_weights_of_the_whole() -> None:
    """Pair by pair, layers of one shape would all be drawn alike."""
    table = {**DIGITS, "model": {"hidden": [16, 16]}, "autoencoder": {"kind": "stacked"}}
    splits, trainer = build(parse(table), "numpy")
    whole = trainer.model.ensure_initialized(0).state_dict()
    for parameter in trainer.model.parameters():
        if parameter.trained:
            parameter.array = parameter.owner = None
    trainer.optimizer = gs.SGD(lr=0.0)
    pretraining.pretrain(trainer, splits.train, epochs=1, batch_size=500)
    after = trainer.model.state_dict()
    assert all(np.array_equal(whole[name], after[name]) for name in whole)
