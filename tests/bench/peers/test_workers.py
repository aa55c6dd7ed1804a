"""Every contender that is installed does the same work, in processes that may die."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from gearshift.bench.peers import models, networks
from gearshift.bench.peers.contender import ENTRIES
from gearshift.bench.peers.measure import Crew
from gearshift.bench.peers.peak_products import DEPTH, Peak, flops_of_model, flops_of_row
from gearshift.bench.peers.process import Process, WorkerFailed
from gearshift.bench.peers.worker import CHECKED, SEEN

CONTENDERS = [
    pytest.param(name, marks=[pytest.mark.long] * (name == "torch.compile"))  # it compiles for half a minute
    for name, entry in ENTRIES.items()
    if entry.learns and entry.ranks == 1 and name != "torch DataLoader"
]
CLASSIFIER, AUTOENCODER = "6-5-4-3", "autoencoder 6-4-6"


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[Process]:
    """The process of a contender; skips where it is not installed."""
    if find_spec(ENTRIES[request.param].needs) is None:
        pytest.skip(f"needs {ENTRIES[request.param].install}")
    if request.param == "torch.compile" and shutil.which("g++") is None:
        pytest.skip("needs g++")
    process = Process(request.param)
    yield process
    process.close()


def reference(name: str, batch: int) -> list[float]:
    """The losses of the first steps, in float64, by the formulas of Kingma and Ba (2014)."""
    network = networks.parse(name)
    x, y = networks.batch(network, batch)
    parameters = [array.astype(np.float64) for layer in networks.weights(network) for array in layer]
    first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    losses = []
    for step in range(1, CHECKED + 1):
        inputs, z = [], x.astype(np.float64)
        for place in range(0, len(parameters), 2):
            inputs.append(z := np.maximum(z, 0) if place else z)
            z = z @ parameters[place] + parameters[place + 1]
        if network.autoencoder:
            losses.append(float(np.mean((z - y) ** 2)))
            dz = 2 * (z - y) / z.size
        else:
            p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
            losses.append(float(-np.log(p[np.arange(batch), y]).mean()))
            dz = (p - np.eye(z.shape[1])[y]) / batch
        gradients: list[np.ndarray] = []
        for place, a in reversed(list(enumerate(inputs))):
            gradients[:0] = [a.T @ dz, dz.sum(axis=0)]
            dz = (dz @ parameters[2 * place].T) * (a > 0)
        for p, m, v, g in zip(parameters, first, second, gradients, strict=True):
            m[...] = 0.9 * m + 0.1 * g
            v[...] = 0.999 * v + 0.001 * g**2
            p -= 1e-3 * m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return losses


@pytest.mark.parametrize("process", CONTENDERS, indirect=True)
def test_contenders_do_the_same_work(process: Process) -> None:
    """Losses of the first steps agree with float64, blocks take time, and epochs learn."""
    for network in (CLASSIFIER, AUTOENCODER):
        answer = process.ask("step", network=network, batch=7)
        np.testing.assert_allclose(answer["losses"], reference(network, 7), rtol=2e-5)
        assert answer["steps"] >= 3
        assert process.ask("block")["seconds"] > 0
        process.ask("release")
    net = networks.parse(AUTOENCODER)
    assert process.ask("epoch", network=AUTOENCODER, batch=128) == {"rows": networks.EPOCH_ROWS, "real": False}
    assert process.ask("block")["seconds"] > 0
    seen = networks.pixels(net).first(SEEN).standardized()
    before = networks.loss(net, networks.weights(net), seen, seen)
    assert process.ask("loss")["loss"] < 0.9 * before


@pytest.mark.parametrize("process", ["reference"], indirect=True)
def test_reference_workload_has_steps_only(process: Process) -> None:
    """It computes no loss, and says that it has no epochs."""
    assert process.ask("step", network=CLASSIFIER, batch=7)["losses"] == []
    assert process.ask("block")["seconds"] > 0
    with pytest.raises(WorkerFailed, match="no epochs"):
        process.ask("epoch", network=CLASSIFIER, batch=7)


@pytest.mark.parametrize("process", ["peak"], indirect=True)
def test_the_peak_learns_nothing(process: Process) -> None:
    """It takes time for steps, epochs and models, and computes no loss."""
    assert process.ask("step", network=CLASSIFIER, batch=7)["losses"] == []
    for do, network in (("step", CLASSIFIER), ("epoch", AUTOENCODER), ("model", "embedding")):
        process.ask(do, network=network, batch=7)
        assert process.ask("block")["seconds"] > 0


def test_the_operations_of_a_step() -> None:
    """Two for each weight and row, three times: forward, for its gradient, and for that of its input."""
    assert flops_of_row(networks.parse("6-5-3")) == 2 * (6 * 5 * 2 + 5 * 3 * 3)
    assert flops_of_row(networks.parse("autoencoder 6-4-6")) == 2 * (6 * 4 * 2 + 4 * 6 * 3)
    wide = 1024 * 2048 * 2 + 2048 * 2048 * 3 + 2048 * 10 * 3
    assert flops_of_model("wide") == 2 * wide * models.MODELS["wide"].rows
    tokens, width = models.TOKENS, models.WIDTH
    block = (
        3 * tokens * (4 * width * width + 2 * 4 * width * width)
    )  # of Q, K, V, the output and two layers of 4 · width
    attention = 3 * 2 * tokens * tokens * width  # scores and sums of values
    total = 2 * models.MODELS["transformer"].rows * (2 * (block + attention) + 3 * width * models.CLASSES)
    assert flops_of_model("transformer") == total


def test_the_peak_repeats_its_tiles_on_all_threads() -> None:
    """As many operations as asked for, up to a tile for each thread; each row of a tile has sums of its own."""
    work = Peak(10**7)
    called = list[int]()
    tiles, work._tiles = work._tiles, lambda count, *rest: (called.append(count), tiles(count, *rest))
    work.repeat(3)
    least = 3 * 10**7
    assert least <= sum(called) * work._tile < least + len(called) * work._tile
    for a, b, c, height in work._own:
        assert work._tile == 2 * DEPTH * height * b.size and len(set(a)) == height
        np.testing.assert_allclose(c.reshape(height, -1), DEPTH * np.outer(a, b), rtol=1e-5)


@pytest.mark.parametrize("process", ["numpy"], indirect=True)
def test_a_process_that_died_is_reported_and_started_again(process: Process) -> None:
    """The request that it died in fails; the next one is answered."""
    process.ask("settings")
    process._process.kill()
    process._process.wait()
    process.ask("settings")
    process._process.stdin.write("no request\n")  # pyright: ignore[reportOptionalMemberAccess]
    with pytest.raises(WorkerFailed, match="JSONDecodeError"):
        process.ask("settings")
    assert process.ask("step", network=CLASSIFIER, batch=1)["losses"]


@pytest.mark.parametrize("process", ["numpy"], indirect=True)
def test_a_process_that_gives_no_answer_is_ended_and_says_so(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as hurried:
        hurried.setattr("gearshift.bench.peers.process.PATIENCE", 0.001)
        with pytest.raises(WorkerFailed, match=r"gave no answer within 0\.001 s"):
            process.ask("step", network=CLASSIFIER, batch=1)
    assert process.ask("step", network=CLASSIFIER, batch=1)["losses"]


def test_an_interruption_keeps_the_rounds_before() -> None:
    """Ctrl-C in the third round leaves two, of every contender."""

    def tell(text: str) -> None:
        if text.endswith("round 3"):
            raise KeyboardInterrupt

    with Crew(["numba", "numpy", "reference", "peak"], {"step": 7}, tell) as crew:
        with pytest.raises(KeyboardInterrupt):
            crew.measure("step", CLASSIFIER, 4)
        (point,) = crew.measurement.points
    assert {name: len(result.seconds) for name, result in point.results.items()} == {
        "numba": 2,
        "numpy": 2,
        "reference": 2,
        "peak": 2,
    }
    assert not any(result.fault for result in point.results.values())
    assert all(math.isfinite(result.median) for result in point.results.values())


def test_steps_go_on_after_the_plan_came_back_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long steps are run in several calls, and many steps pass over the resident order more than once."""
    monkeypatch.setattr("gearshift.dl.step.plan.TICK", 0.0)
    network = networks.parse(CLASSIFIER)
    work = ENTRIES["numpy"].make().steps(network, networks.weights(network), *networks.batch(network, 7))
    np.testing.assert_allclose(work.losses(CHECKED), reference(CLASSIFIER, 7), rtol=2e-5)
    work.reset()
    work.run(2100)
    assert work.state.step == 2100  # pyright: ignore[reportAttributeAccessIssue]
    assert work.state.failed_step() < 0  # pyright: ignore[reportAttributeAccessIssue]


def test_a_worker_imports_nothing_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "random", "numpy", "torch", "gearshift", "sklearn"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    process = Process("numpy")
    try:
        assert process.ask("step", network=CLASSIFIER, batch=7)
    finally:
        process.close()
    assert not (tmp_path / "ran").exists()
