"""Whole epochs beside PyTorch's and JAX's: a new order, every batch of it, and one look from the host at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from ...backends import Backend
from ..peers.gearshift_contender import Gearshift
from ..peers.networks import DenseNetwork, Pixels, Weights, parse, random_pixels, weights
from .contenders import TIE, Torch, captured
from .report import NotRun, ProofReport
from .scale import Scale

BATCH = 128
WARM_UP = 3  # epochs: captures and compilations are over by then
Epoch = Callable[[], Any]


def run(report: ProofReport, backend: Backend, scale: Scale) -> None:
    """An epoch of each network that every contender can hold on the device, and whether none is faster than ours."""
    gains: dict[str, float] = {}
    for text, rows in scale.epochs_of:
        name = f"epoch: {text}, {rows:,} rows, batch {BATCH}"
        if name in report.broken:
            continue
        with report.check(name, longest=240) as check:
            network, data = parse(text), random_pixels(parse(text), rows)
            contenders: dict[str, Epoch] = {
                "gearshift": Gearshift(backend.name).epochs(network, weights(network), data, BATCH).run
            }
            for other, make in others().items():
                try:
                    contender = make(network, weights(network), data)
                    contender()
                    contenders[other] = contender
                except Exception as error:
                    check[f"no {other}"] = f"{type(error).__name__}: {str(error)[:200]}"
            times = seconds(contenders, scale.rounds)
            for contender, taken in times.items():
                check[f"{contender}, s"] = taken
            mine = times.pop("gearshift")
            check["rows a second"] = rows / mine
            if not times:
                raise NotRun("nobody to compare with")
            check["times as fast as the best of the others"] = gains[text] = min(times.values()) / mine
    told = ", ".join(f"{text}: {gain:.2f}" for text, gain in gains.items()) or "not measured"
    report.goal("no epoch that another ends sooner", min(gains.values()) >= 1 / TIE if gains else None, told)


def others() -> dict[str, Callable[[DenseNetwork, Weights, Pixels], Epoch]]:
    """What makes the epochs of the other libraries."""
    return {
        "torch eager": partial(TorchEpochs, capture=False),
        "torch graph": partial(TorchEpochs, capture=True),
        "jax scan": jax_scan,
    }


def seconds(contenders: dict[str, Epoch], rounds: int) -> dict[str, float]:
    """Medians of rounds in which each runs an epoch in turn."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(WARM_UP + rounds):
        for name, epoch in contenders.items():
            start = time.perf_counter()
            epoch()
            if round_ >= WARM_UP:
                taken[name].append(time.perf_counter() - start)
    return {name: median(times) for name, times in taken.items()}


class TorchEpochs:
    """PyTorch's step over an order of all rows, which each epoch draws anew; captured, each step is a CUDA graph."""

    def __init__(self, network: DenseNetwork, layers: Weights, data: Pixels, *, capture: bool) -> None:
        x = data.standardized()
        y = x if network.autoencoder else data.y
        self.made = Torch(network, layers, x, y, capturable=capture, rows=BATCH)
        self.rows, self.step = len(x), captured(self.made) if capture else self.made.step

    def __call__(self) -> float:
        made = self.made
        made.order.copy_(made.torch.randperm(self.rows, device=made.device).repeat(4))
        made.cursor.zero_()
        made.total.zero_()
        for _ in range(self.rows // BATCH):
            self.step()
        return float(made.total)


def jax_scan(network: DenseNetwork, layers: Weights, data: Pixels) -> Epoch:
    """JAX: all steps of an epoch in one compiled call, products in full float32 as everyone's."""
    import jax

    from ..peers.jax_contender import make

    with jax.default_matmul_precision("highest"):
        epochs = make("scan").epochs(network, layers, data, BATCH)

    def epoch() -> None:
        with jax.default_matmul_precision("highest"):
            epochs.run()

    return epoch
