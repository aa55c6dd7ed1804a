"""Errors in the middle of a training, and what the trainer is good for afterwards; labels that change under it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.step import plan
from gearshift.dl.training import loop

RANDOM = np.random.default_rng(2)
X, Y = RANDOM.normal(size=(90, 4)), RANDOM.integers(0, 3, 90)
BACKENDS = ("numpy", "numba")


class Breaks(gs.ArrayLayer):
    """Hands its input on, and raises once, after so many calls."""

    left = -1
    where = "forward"

    def _called(self, where: str) -> None:
        if where == self.where:
            self.left -= 1
            if self.left == -1:
                raise MemoryError("enough")

    def forward(self, xp: Any, x: Any, *parameters: Any) -> Any:
        self._called("forward")
        return x

    def backward(self, xp: Any, dy: Any, x: Any, y: Any, *parameters: Any) -> tuple[Any, ...]:
        self._called("backward")
        return (dy,)


OPTIMIZERS = {
    "SGD": lambda: gs.SGD(lr=0.1, momentum=0.9),
    "Adam": lambda: gs.Adam(lr=0.01),
    "Nesterov": lambda: gs.Nesterov(lr=0.05),
}


def trainer(backend: str, breaks: Breaks, optimizer: str = "SGD") -> gs.Trainer:
    model = gs.Sequential(gs.Linear(4, 8), breaks, gs.Tanh(), gs.Linear(8, 3), dtype="float64")
    return gs.Trainer(model, gs.CrossEntropyLoss(), OPTIMIZERS[optimizer](), backend=backend, seed=1)


def fit(run: gs.Trainer, epochs: int, **more: Any) -> gs.History:
    return run.fit(X, Y, epochs=epochs, batch_size=9, verbose=False, **more)


@pytest.mark.parametrize(
    "backend, optimizer", [("numba", "Nesterov"), *(("numpy", optimizer) for optimizer in OPTIMIZERS)]
)
@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_an_error_inside_a_step_leaves_the_steps_before_it(
    backend: str, optimizer: str, where: str, accumulate: int, tmp_path: Any
) -> None:
    """Steps 1 to 16 of 20 are taken once, whatever breaks in the 17th; then all goes on as if nothing had been."""
    whole, run = (trainer(backend, Breaks(), optimizer) for _ in range(2))
    fit(whole, 2, accumulate=accumulate)
    model: Any = run.model
    breaks = model[1]
    assert isinstance(breaks, Breaks)
    breaks.where = where
    for calls in (16 * accumulate + accumulate // 2, accumulate // 2):
        breaks.left = calls
        with pytest.raises(MemoryError, match="enough"):
            fit(run, 2 - run.epoch, accumulate=accumulate)
        assert (run.epoch, run.step, run.state.cursor) == (1, 16, 54)
        assert np.isfinite(run.predict_proba(X)).all()
        run.save(tmp_path / "run.safetensors")
    resumed = trainer(backend, Breaks(), optimizer)
    resumed.load(tmp_path / "run.safetensors")
    for other in (run, resumed):
        fit(other, 1, accumulate=accumulate)
        assert other.step == 20
        for name, value in other.model.state_dict().items():
            np.testing.assert_array_equal(value, whole.model.state_dict()[name])
    assert 0 < run.history["accuracy"][-1] <= 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin", "on_tick", "on_epoch_end", "on_train_end"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_after_an_error_in_a_callback_training_goes_on(
    backend: str, hook: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(plan, "TICK", 0)
    monkeypatch.setattr(loop, "TICK", 0)
    ended = []

    def fails(self: gs.Callback, trained: gs.Trainer, *rest: Any) -> None:
        raise error("mine")

    class Ends(gs.Callback):
        def on_train_end(self, trained: gs.Trainer, history: gs.History) -> None:
            ended.append(trained.epoch)

    whole, run = (trainer(backend, Breaks()) for _ in range(2))
    fit(whole, 3)
    broken = type("Fails", (gs.Callback,), {hook: fails})()
    with pytest.raises(error, match="mine"):
        fit(run, 3, callbacks=[Ends(), broken, Ends()])
    assert len(ended) == (1 if hook == "on_train_begin" else 2)
    run.predict(X)
    run.save(tmp_path / "run.safetensors")
    if run.epoch < 3:
        fit(run, 3 - run.epoch)
    for name, value in run.model.state_dict().items():
        np.testing.assert_array_equal(value, whole.model.state_dict()[name])


@pytest.mark.parametrize("backend", BACKENDS)
def test_after_a_loss_that_is_not_finite_a_lower_rate_trains(backend: str) -> None:
    model = gs.Sequential(gs.Linear(4, 8), gs.ReLU(), gs.Linear(8, 1), dtype="float64")
    run = gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=1e6), backend=backend)
    target = X[:, :1].copy()
    with pytest.raises(gs.NonFiniteLoss, match="learning rate 1e"):
        run.fit(X, target, epochs=50, verbose=False)
    assert np.isfinite(run.predict(X)).all()
    run.restart(1)
    run.optimizer.lr = 1e-2
    assert run.fit(X, target, epochs=30, verbose=False)["loss"][-1] < 0.5


LABELS = """
import sys
import numpy as np, gearshift as gs

def train(kind, backend, value):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(400, 6)).astype(np.float32), random.integers(0, 4, 400)
    losses = {"hinge": gs.MulticlassHingeLoss(), "focal": gs.FocalLoss(), "smooth": gs.CrossEntropyLoss(0.1)}
    losses |= {"ignoring": gs.CrossEntropyLoss(ignore_index=-100)}
    loss = losses.get(kind) or gs.CrossEntropyLoss()
    layers = [gs.Linear(6, 16), gs.ReLU(), *([gs.Dropout(0.1)] if kind == "graph" else []), gs.Linear(16, 4)]
    if kind == "embedding":
        x, value = random.integers(0, 4, (400, 6)).astype(np.float32), float(value)
        layers = [gs.Embedding(4, 8), gs.MeanPooling(), gs.Linear(8, 4)]

    class Relabels(gs.Callback):
        def on_epoch_end(self, trained, record):
            (x if kind == "embedding" else y)[7] = value

    run = gs.Trainer(gs.Sequential(*layers), loss, gs.SGD(lr=1e-3), backend=backend)
    try:
        run.fit(x, y, validation=(x, y), epochs=3, callbacks=[Relabels()], verbose=False)
    except gs.NonFiniteLoss as error:
        print(kind, backend, value, "refused", run.epoch, flush=True)

for kind in sys.argv[1:]:
    for backend, value in (("numba", 10**12), ("numba", -(10**12)), ("numba", 4), ("numpy", -1), ("numpy", 9)):
        train(kind, backend, value)
"""


def test_labels_that_change_during_training_are_no_access_outside_the_arrays() -> None:
    """In a process of its own, which a write outside an array would end."""
    kinds = ["chain", "graph", "hinge", "embedding", "focal", "smooth", "ignoring"]
    done = subprocess.run([sys.executable, "-c", LABELS, *kinds], capture_output=True, text=True, timeout=300)
    refused = [line.split()[0] for line in done.stdout.splitlines() if line.endswith("refused 1")]
    assert (done.returncode, refused) == (0, [kind for kind in kinds for _ in range(5)]), done.stdout + done.stderr
