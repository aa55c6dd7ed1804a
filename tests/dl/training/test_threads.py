"""One trainer, one model, one estimator in several threads: each gets its own answers, and a second fit is refused."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.turns import Turns

RANDOM = np.random.default_rng(8)
X, Y = RANDOM.normal(size=(200, 6)).astype(np.float32), RANDOM.integers(0, 3, 200)
ASKED = [RANDOM.normal(size=(int(n), 6)).astype(np.float32) for n in RANDOM.integers(1, 1500, 12)]


@pytest.fixture(autouse=True)
def switching() -> Iterator[None]:
    """Threads take turns as often as Python lets them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def trainer(backend: str, hidden: int = 32, lr: float = 1e-2) -> gs.Trainer:
    model = gs.Sequential(gs.Linear(6, hidden), gs.Tanh(), gs.Linear(hidden, 3))
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=lr), backend=backend)


def labels(x: np.ndarray) -> np.ndarray:
    return (x[:, 0] > 0).astype(int)


ASKS: dict[str, Callable[[Any, np.ndarray], Any]] = {
    "predict": lambda run, x: run.predict(x),
    "predict_proba": lambda run, x: run.predict_proba(x),
    "evaluate": lambda run, x: [*run.evaluate(x, labels(x)).values()],
    "report": lambda run, x: [*run.report(x, labels(x)).means.values()],
    "outputs_of": lambda run, x: run.outputs_of(run.model[0], x),
    "value_and_grad": lambda run, x: gs.value_and_grad(run.model, run.loss, x, labels(x))[1]["0.weight"],
}


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_each_thread_gets_its_own_answers(backend: str) -> None:
    run = trainer(backend)
    run.fit(X, Y, epochs=2, verbose=False)
    work = [(ask, i) for i in range(len(ASKED)) for ask in ASKS.values()] * 4
    right = [ask(run, ASKED[i]) for ask, i in work[: len(ASKED) * len(ASKS)]] * 4
    with ThreadPoolExecutor(6) as pool:
        found = [*pool.map(lambda item: item[0](run, ASKED[item[1]]), work)]
    wrong = sum(not np.array_equal(a, b) for a, b in zip(found, right, strict=True))
    assert wrong == 0, f"{wrong} of {len(work)} answers are another thread's"


@pytest.mark.parametrize("kind", [gs.MLPClassifier, gs.MLPRegressor])
def test_each_thread_gets_its_own_answers_of_an_estimator(kind: Any) -> None:
    estimator = kind(hidden_layer_sizes=(16,), max_iter=400, random_state=0, backend="numpy").fit(X, Y)
    right = [estimator.predict(x) for x in ASKED]
    with ThreadPoolExecutor(6) as pool:
        found = [*pool.map(lambda i: estimator.predict(ASKED[i % len(ASKED)]), range(5 * len(ASKED)))]
    for i, answer in enumerate(found):
        np.testing.assert_array_equal(answer, right[i % len(right)])


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_answers_during_a_fit_are_those_of_one_step(backend: str) -> None:
    """All weights of a layer are equal after each step, as they are before it: any other weights are torn."""
    model = gs.Sequential(gs.Linear(6, 400), gs.Linear(400, 3))
    for parameter in model.parameters():
        parameter.array = np.zeros(parameter.shape, np.float32)
    ones = np.ones((64, 6), np.float32)
    run = gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=1e-7), backend=backend)
    for parameter in model.parameters():
        parameter.array[...] = 0.01
    done, torn, answers = threading.Event(), [], 0

    def train() -> None:
        try:
            run.fit(ones, np.full((64, 3), 5.0, np.float32), epochs=60, batch_size=4, verbose=False)
        finally:
            done.set()

    thread = threading.Thread(target=train)
    thread.start()
    while not done.is_set():
        answers += 1
        outputs = run.outputs_of(model[0], ones[:2])
        state = run.model.state_dict()
        if np.ptp(outputs) or any(np.ptp(value) for value in state.values()):
            torn.append(np.ptp(outputs))
        run.predict(ones)
        run.totals()
    thread.join()
    assert run.epoch == 60 and answers and not torn


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_fit_is_the_same_whatever_others_ask_meanwhile(backend: str, tmp_path: Any) -> None:
    alone, run, stop = trainer(backend), trainer(backend), threading.Event()
    alone.fit(X, Y, epochs=30, verbose=False)

    def ask() -> None:
        while not stop.is_set():
            run.predict(X)
            run.evaluate(X, Y)
            run.save(tmp_path / f"{threading.get_ident()}.safetensors")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        run.fit(X, Y, epochs=30, verbose=False)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for name, value in run.model.state_dict().items():
        np.testing.assert_array_equal(value, alone.model.state_dict()[name])
    assert run.history["loss"] == alone.history["loss"]


def test_a_second_fit_at_once_is_refused() -> None:
    run, refused = trainer("numpy"), []

    class Fits(gs.Callback):
        def on_epoch_end(self, trained: gs.Trainer, record: dict[str, float]) -> None:
            for again in (lambda: run.fit(X, Y, verbose=False), lambda: run.to("numba")):
                thread = threading.Thread(target=self.attempt, args=(again,))
                thread.start()
                thread.join()
                self.attempt(again)

        def attempt(self, again: Callable[[], Any]) -> None:
            try:
                again()
            except gs.ConfigurationError as error:
                refused.append(str(error))

    run.fit(X, Y, epochs=2, callbacks=[Fits()], verbose=False)
    assert len(refused) == 8 and "being trained already" in refused[0] and "copy.deepcopy(trainer)" in refused[0]
    assert "when fit has ended" in refused[3]
    run.fit(X, Y, verbose=False)
    assert run.epoch == 3 and run.backend.name == "numpy"


def test_threads_get_their_turn() -> None:
    """A thread that takes the lock over and over does not keep it from others."""
    turns, stop, waited = Turns(), threading.Event(), []

    def hold() -> None:
        while not stop.is_set():
            with turns, turns:
                stop.wait(0.002)

    holder = threading.Thread(target=hold)
    holder.start()
    for _ in range(20):
        with turns:
            waited.append(True)
    stop.set()
    holder.join()
    assert len(waited) == 20
