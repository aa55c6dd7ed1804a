"""Faults of a run: one clear error, and a trainer that can still be used."""

from __future__ import annotations

import builtins
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from registering import registered

import gearshift as gs
from gearshift.dl.layers import Standardize
from gearshift.dl.step import plan
from gearshift.dl.training import loop


def data(rows: int = 23) -> gs.Dataset:
    generator = np.random.default_rng(0)
    return gs.Dataset(generator.normal(size=(rows, 4)), generator.integers(0, 3, rows))


def trainer(backend: str = "numpy", **options: Any) -> gs.Trainer:
    model = gs.Sequential(gs.Linear(4, 6), gs.ReLU(), gs.Linear(6, 3), dtype="float64")
    return gs.Trainer(model, gs.CrossEntropyLoss(), options.pop("optimizer", gs.SGD(0.1)), backend=backend, **options)


class Jump(gs.Schedule):
    """A rate that grows beyond measure at one step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def factor(self, step: int) -> float:
        return 1e300 if step == self.at else 1.0


class StopAt(gs.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_tick(self, trainer: gs.Trainer) -> None:
        if trainer.step >= self.step:
            trainer.stop()


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("jump", [0, 2, 3, 4, 6])  # 5 steps an epoch, of 5 5 5 5 3 rows: the loss fails a step later
@pytest.mark.parametrize("tick", [0, 0.25])
def test_a_loss_that_is_not_finite(backend: str, jump: int, tick: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "TICK", tick)
    monkeypatch.setattr(loop, "TICK", tick)
    failing = trainer(backend, schedule=Jump(jump))
    with pytest.raises(gs.NonFiniteLoss, match=rf"at step {jump + 1} .*learning rate 0.1: .*layer '[012]'"):
        failing.fit(data(), epochs=5, batch_size=5, verbose=False)
    assert (failing.step, failing.epoch) == (jump + 1, (jump + 1) // 5)
    assert failing.state.cursor == (jump + 1) % 5 * 5
    monkeypatch.setattr(plan, "TICK", 0)
    monkeypatch.setattr(loop, "TICK", 0)
    stopped = trainer(backend, schedule=Jump(jump))
    stopped.fit(
        data(), epochs=1 + jump // 5, batch_size=5, verbose=False, callbacks=[StopAt(jump + 1)] if jump != 4 else []
    )
    assert stopped.step == jump + 1
    for name, value in stopped.model.state_dict().items():
        assert value.tobytes() == failing.model.state_dict()[name].tobytes()


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("layer", [0, 2])
def test_a_weight_that_is_not_finite_names_its_layer(backend: str, layer: int, tmp_path: Path) -> None:
    failing = trainer(backend, optimizer=gs.Adam())
    failing.fit(data(), epochs=1, batch_size=5, verbose=False)
    good = failing.model.state_dict()
    failing.model.load_state_dict({**good, f"{layer}.weight": np.full_like(good[f"{layer}.weight"], np.nan)})
    with pytest.raises(gs.NonFiniteLoss, match=rf"step 5 \(epoch 2\), learning rate 0.001: .*layer '{layer}'"):
        failing.fit(data(), epochs=1, batch_size=5, verbose=False)
    failing.model.load_state_dict(good)  # mended, training goes on as if nothing had been
    failing.fit(data(), epochs=1, batch_size=5, verbose=False)
    untroubled = trainer(backend, optimizer=gs.Adam())
    untroubled.fit(data(), epochs=2, batch_size=5, verbose=False)
    assert failing.history["loss"] == untroubled.history["loss"]
    for name, value in untroubled.model.state_dict().items():
        assert value.tobytes() == failing.model.state_dict()[name].tobytes()


def test_the_failing_step_after_a_resume_with_another_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "TICK", 0)
    monkeypatch.setattr(loop, "TICK", 0)
    run = trainer(schedule=Jump(3))
    run.fit(data(), batch_size=7, verbose=False, callbacks=[StopAt(1)])
    with pytest.raises(gs.NonFiniteLoss, match="step 4"):
        run.fit(data(), batch_size=5, verbose=False)  # 7, then 5 5 5 1
    assert (run.step, run.state.cursor) == (4, 22)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gs.Linear(0, 3), "in_features is 0"),
        (lambda: gs.Linear(3, 2.5), "out_features is 2.5"),  # type: ignore[arg-type]
        (lambda: gs.Linear(3, 2, init="xavier"), "'xavier'.*glorot, he"),
        (lambda: gs.Dropout(1), "p is 1"),
        (lambda: gs.Dropout("x"), "p is 'x'"),  # type: ignore[arg-type]
        (lambda: Standardize(0), "features is 0"),
        (lambda: gs.Sequential(), "no layers"),
        (lambda: gs.Sequential(gs.ReLU), "item 0"),  # type: ignore[arg-type]
        (lambda: gs.Sequential(gs.ReLU(), dtype="float16"), "'float16'"),
        (lambda: gs.SGD(lr=-1), "lr is -1"),
        (lambda: gs.SGD(lr="x"), "lr is 'x'"),  # type: ignore[arg-type]
        (lambda: gs.SGD(nesterov=True), "nesterov needs momentum"),
        (lambda: gs.Adam(betas=(0.9, 1.0)), "betas"),
        (lambda: gs.Adam(eps=-1), "eps is -1"),
        (lambda: gs.RMSprop(alpha=1.5), "alpha is 1.5"),
        (lambda: gs.CosineDecay(0), "steps is 0"),
        (lambda: gs.Trainer(gs.ReLU(), gs.MSELoss, gs.SGD()), "loss is"),  # type: ignore[arg-type]
        (lambda: gs.Trainer(1, gs.MSELoss(), gs.SGD()), "model is 1"),  # type: ignore[arg-type]
        (lambda: trainer(seed=-1), "seed is -1"),
        (lambda: trainer(seed="x"), "seed is 'x'"),
        (lambda: trainer(seed=1.5), "seed is 1.5"),
        (lambda: trainer(clip_norm=0), "clip_norm is 0"),
        (lambda: trainer(clip_norm="x"), "clip_norm is 'x'"),
        (lambda: trainer(schedule=0.1), "schedule is 0.1"),
        (lambda: trainer(backend="tpu"), "'tpu'"),
        (lambda: trainer().fit(data(), epochs=-1), "epochs is -1"),
        (lambda: trainer().fit(data(), batch_size=0), "batch_size is 0"),
        (lambda: trainer().fit(data(), batch_size="x"), "batch_size is 'x'"),  # type: ignore[arg-type]
        (lambda: trainer().fit(data(), patience=0), "patience is 0"),
        (lambda: trainer().fit(data(), patience=2), "'validation_loss', which is not measured.*validation data"),
        (lambda: trainer().fit(data(), validation=data(), patience=2, monitor="f1"), "'f1'.*expected one of: loss"),
    ],
)
def test_wrong_arguments(make: Any, words: str) -> None:
    with pytest.raises(gs.ConfigurationError, match=words):
        make()


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (lambda: trainer().fit(np.ones((4, 4)), np.array([0, 1, 2, 3])), gs.DataError, r"y\[3\] is 3.*from 0 to 2"),
        (lambda: trainer().fit(np.full((4, 4), np.nan), np.zeros(4, int)), gs.DataError, "nan"),
        (lambda: Standardize(2).fit([0, 1e200], [1, 1]), gs.DataError, "mean 1e.200 is beyond the range of float32"),
        (lambda: Standardize(2).fit([0, 1], [1e-200, 1]), gs.DataError, "std 1e-200 is beyond"),
        (lambda: trainer().fit(np.ones((0, 4)), np.zeros(0, int)), gs.DataError, r"\(0, 4\)"),
        (lambda: trainer().fit(np.ones((4, 4)), np.zeros(3, int)), gs.DataError, "3 rows"),
        (lambda: trainer().fit(np.ones((4, 4))), gs.DataError, "y is missing"),
        (lambda: trainer().fit(np.ones((4, 5)), np.zeros(4, int)), gs.ShapeError, r"layer 0: .*4 features.*\(5,\)"),
        (lambda: trainer().predict(np.ones((4, 5))), gs.ShapeError, "layer 0: "),
        (lambda: trainer().predict(np.ones(4)), gs.DataError, r"\(4,\)"),
        (
            lambda: gs.value_and_grad(
                gs.Sequential(gs.Linear(4, 5), gs.Linear(6, 2)), gs.MSELoss(), np.ones((1, 4)), np.ones((1, 2))
            ),
            gs.ShapeError,
            "layer 1: ",
        ),
        (
            lambda: gs.Trainer(gs.Linear(4, 2), gs.MSELoss(), gs.SGD(), backend="numpy").fit(data(4).x, np.ones(4)),
            gs.ShapeError,
            r"\(1,\).*\(2,\)",
        ),
        (
            lambda: gs.Trainer(gs.Linear(4, 2), gs.MSELoss(), gs.SGD(), backend="numpy").predict_proba(data(4).x),
            gs.ConfigurationError,
            "predict",
        ),
    ],
)
def test_wrong_data(fault: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        fault()


class Press(gs.Callback):
    """Ctrl-C at the first tick."""

    def on_tick(self, trainer: gs.Trainer) -> None:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.skipif(os.name == "nt", reason="os.kill ends the process there")
@pytest.mark.parametrize("notebook", [False, True])
def test_ctrl_c_stops_at_a_batch_boundary(notebook: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plan, "TICK", 0)
    monkeypatch.setattr(loop, "TICK", 0)
    before = signal.getsignal(signal.SIGINT)
    run = trainer()
    if notebook:
        monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
        assert run.fit(data(), epochs=2, batch_size=5, verbose=False, callbacks=[Press()]) is run.history
    else:
        with pytest.raises(KeyboardInterrupt):
            run.fit(data(), epochs=2, batch_size=5, verbose=False, callbacks=[Press()])
    assert (run.stopped, run.step, run.state.cursor) == ("interrupt", 1, 5)
    assert signal.getsignal(signal.SIGINT) is before
    run.save(tmp_path / "run.safetensors")
    again, whole = trainer(), trainer()
    again.load(tmp_path / "run.safetensors")
    again.fit(data(), epochs=2, batch_size=5, verbose=False)
    whole.fit(data(), epochs=2, batch_size=5, verbose=False)
    for name, value in whole.model.state_dict().items():
        assert value.tobytes() == again.model.state_dict()[name].tobytes()


def test_a_gpu_that_is_not_there() -> None:
    if gs.backends.available()["cupy"].runs:
        pytest.skip("there is one")
    with pytest.raises(gs.BackendUnavailable, match="cupy"):
        trainer(backend="cupy")


class Presses:
    """Ctrl-C in its destructor, where Python drops the exception."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


class Pressing(gs.ArrayLayer):
    """A layer during whose lowering Ctrl-C is pressed at a moment when exceptions are dropped."""

    armed = False

    def forward(self, xp: Any, x: Any, *parameters: Any) -> Any:
        return x

    def backward(self, xp: Any, dy: Any, x: Any, y: Any, *parameters: Any) -> tuple[Any, ...]:
        return (dy,)

    def lower(self, graph: Any, x: Any) -> Any:
        if Pressing.armed and graph.train:
            Presses()
        return super().lower(graph, x)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_is_not_lost_where_python_drops_its_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    run = gs.Trainer(gs.Sequential(Pressing(), gs.Linear(4, 3)), gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
    monkeypatch.setattr(Pressing, "armed", True)
    with pytest.raises(KeyboardInterrupt):
        run.fit(data(), verbose=False)
    assert run.step == 0 and signal.getsignal(signal.SIGINT) is before
    monkeypatch.setattr(Pressing, "armed", False)
    run.fit(data(), verbose=False)
    assert run.step == 1


class Fails(gs.Callback):
    def on_train_begin(self, trainer: gs.Trainer) -> None:
        raise ValueError("this one")


class Ends(gs.Callback):
    """Ends what it has begun."""

    def on_train_begin(self, trainer: gs.Trainer) -> None:
        self.open = True

    def on_train_end(self, trainer: gs.Trainer, history: gs.History) -> None:
        self.open = not self.open


def test_a_callback_that_never_began_is_not_ended() -> None:
    """A progress bar's end would fail, and hide what went wrong."""
    ended = Ends()
    with pytest.raises(ValueError, match="this one") as caught:
        trainer().fit(data(), verbose=False, callbacks=[ended, Fails(), Ends()])
    assert caught.value.__context__ is None
    assert not ended.open


class Refuses(gs.ArrayLayer):
    """Has no memory for batches of 7 rows."""

    def forward(self, xp: Any, x: Any, *parameters: Any) -> Any:
        if len(x) == 7:
            raise MemoryError("seven rows")
        return x

    def backward(self, xp: Any, dy: Any, x: Any, y: Any, *parameters: Any) -> tuple[Any, ...]:
        return (dy,)


def test_training_goes_on_where_validation_failed() -> None:
    run = gs.Trainer(gs.Sequential(Refuses(), gs.Linear(4, 3)), gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
    with pytest.raises(MemoryError):
        run.fit(data(), validation=data(7), epochs=2, batch_size=5, verbose=False)
    assert (run.epoch, run.step, run.state.cursor) == (1, 5, 0)
    run.fit(data(), validation=data(8), batch_size=5, verbose=False)
    assert (run.epoch, run.step) == (2, 10)


class Small(type(gs.backends.get("numpy"))):
    """A backend with room for nothing."""

    name = "small"

    def zeros(self, shape: Any, dtype: Any) -> Any:
        raise gs.DeviceMemoryError("no room")


def test_a_run_that_does_not_fit_elsewhere_has_not_moved() -> None:
    run, whole = trainer(optimizer=gs.Adam()), trainer(optimizer=gs.Adam())
    for each in (run, whole):
        each.fit(data(), batch_size=5, verbose=False)
    with registered(Small), pytest.raises(gs.DeviceMemoryError, match="no room"):
        run.to("small")
    assert run.backend.name == "numpy"
    for each in (run, whole):
        each.fit(data(), batch_size=5, verbose=False)
    for name, value in whole.model.state_dict().items():
        assert value.tobytes() == run.model.state_dict()[name].tobytes()


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_tokens_that_are_none_are_refused_before_a_layer_inside_reads_them(backend: str) -> None:
    model = gs.Sequential(gs.Embedding(5, 3), gs.Linear(3, 5))
    run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend=backend)
    with pytest.raises(gs.DataError, match=r"x\[0, 1\] is 1e\+07"):
        run.outputs_of(model[0], np.array([[1.0, 1e7]]))


def test_a_model_whose_dtype_was_changed_meanwhile_is_refused() -> None:
    run = trainer()
    run.fit(data(), verbose=False)
    run.model.astype("float32")
    for use in (lambda: run.fit(data(), verbose=False), lambda: run.predict(data().x), lambda: run.evaluate(data())):
        with pytest.raises(gs.ConfigurationError, match="precision is 'float64', which is for models of dtype float64"):
            use()
    run.model.astype("float64")
    run.fit(data(), verbose=False)
