"""A contender's own process: ``python -m gearshift.bench.peers.worker NAME``.

Reads a JSON object a line and answers each with one. It sleeps in `read` between requests, and answers only when its
threads are asleep too: OpenBLAS's workers spin for 100 ms after a product, during which others would be timed on
half a processor.

=========================================  =====================================================================
``{"do": "settings"}``                     versions, threads and the like
``{"do": "step", "network", "batch"}``     prepares; ``losses`` of the first steps, ``steps`` of a block, ``how``
``{"do": "epoch", "network", "batch"}``    prepares and runs one epoch; ``rows``, and whether the data are ``real``
``{"do": "model", "network", "batch"}``    the same for a general model; ``rows``, and ``losses``, that of this epoch
``{"do": "block"}``                        runs a block of steps, or an epoch; ``seconds`` of a step or an epoch
``{"do": "loss"}``                         after epochs: the mean ``loss`` of the data set's first rows
``{"do": "release"}``                      lets go of what was prepared
=========================================  =====================================================================

An answer is ``{"error": ...}`` where the request failed.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from . import models, networks
from .contender import ENTRIES, ContenderEpochs, ContenderSteps, ModelEpochs

CHECKED = 6  # steps whose losses are compared: the last has seen five updates
BLOCK, FEWEST, WARM_UP = 0.1, 3, 0.2  # seconds of a block, steps in it at the least, seconds of warm-up
QUIET, LOOK, RESTLESS = 0.1, 0.005, 1.0  # share of a core that counts as asleep; seconds of a look, and of all looks
SEEN = 2048  # rows whose loss is compared after epochs

pixels = lru_cache(maxsize=1)(networks.pixels)


class Worker:
    """Answers requests for one contender."""

    def __init__(self, name: str) -> None:
        self.contender = ENTRIES[name].make()
        self.release()

    def settings(self) -> dict[str, Any]:
        """Versions, threads and the like."""
        return self.contender.settings()

    def step(self, network: str, batch: int) -> dict[str, Any]:
        """Prepares steps on a batch, and warms up."""
        net = networks.parse(network)
        x, y = networks.batch(net, batch)
        fall_asleep()  # Gearshift measures what is fastest here, once
        self.work = work = self.contender.steps(net, networks.weights(net), x, y)
        losses = work.losses(CHECKED)
        self.timed(work.run, CHECKED)
        self.count = max(FEWEST, round(BLOCK / self.timed(work.run, CHECKED)))
        spent = 0.0
        while spent < WARM_UP:
            work.reset()
            spent += self.count * self.timed(work.run, self.count)
        return {"losses": losses, "steps": self.count, "how": work.how}

    def epoch(self, network: str, batch: int) -> dict[str, Any]:
        """Prepares epochs, and runs one."""
        net = networks.parse(network)
        data = pixels(net)
        self.work, self.network = self.contender.epochs(net, networks.weights(net), data, batch), net
        self.work.run()
        return {"rows": len(data.raw), "real": data.real}

    def model(self, network: str, batch: int) -> dict[str, Any]:
        """Prepares epochs of a general model, and runs one."""
        self.work = self.contender.model(network)
        self.work.run()
        return {"rows": models.parse(network).rows, "losses": [self.work.loss()]}

    def block(self) -> dict[str, Any]:
        """Times a block of steps from the initial weights, or an epoch from where the last one ended."""
        if isinstance(self.work, ContenderSteps):
            self.work.reset()
            return {"seconds": self.timed(self.work.run, self.count)}
        assert self.work is not None
        start = time.perf_counter()
        self.work.run()
        return {"seconds": time.perf_counter() - start}

    def loss(self) -> dict[str, Any]:
        """What the epochs have learnt."""
        assert isinstance(self.work, ContenderEpochs) and self.network is not None
        data = pixels(self.network).first(SEEN)
        x = data.standardized()
        return {"loss": networks.loss(self.network, self.work.weights(), x, x if self.network.autoencoder else data.y)}

    def release(self) -> dict[str, Any]:
        """Lets go of what was prepared."""
        self.work: ContenderSteps | ContenderEpochs | ModelEpochs | None = None
        self.network: networks.DenseNetwork | None = None
        self.count = FEWEST
        gc.collect()
        return {}

    @staticmethod
    def timed(run: Callable[[int], None], steps: int) -> float:
        """Seconds per step."""
        start = time.perf_counter()
        run(steps)
        return (time.perf_counter() - start) / steps


def fall_asleep() -> None:
    """Waits until this process's threads use no processor time, or cannot be waited for."""
    for _ in range(round(RESTLESS / LOOK)):
        spent = time.process_time()
        time.sleep(LOOK)
        if time.process_time() - spent < QUIET * LOOK:
            return


def serve(kind: type[Worker], requests: Iterable[str], answering: bool = True) -> None:
    """Does what the lines of `requests` ask for, and writes the answers to standard output if it is `answering`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is not an answer
    worker = kind(sys.argv[1])
    for line in requests:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
        fall_asleep()
        if answering:
            answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    serve(Worker, sys.stdin)
