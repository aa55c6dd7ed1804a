"""Part 3: how fast are others? The same step in PyTorch and JAX, each at its best, on the same device and data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ...backends import Backend
from ..peers.networks import DenseNetwork, Weights, batch, parse, weights
from . import epochs
from .contenders import TIE, jax_steps, torch_compiled, torch_eager, torch_graph
from .plot import steps_picture
from .products import usable
from .report import NotRun, ProofReport
from .scale import Scale
from .steps import ProofSteps, points
from .timing import wall_seconds

Run = Callable[[int], None]
Make = Callable[[DenseNetwork, Weights, np.ndarray, np.ndarray], Run]
SCAN = 16  # steps in one call, as many as a graph of Gearshift's holds
SMALL_BATCH = 256  # up to which steps are to be several times as fast as others'


def run(report: ProofReport, backend: Backend, scale: Scale) -> None:
    """All checks of the part, those that tell most first; compiling takes PyTorch long, so few points have that."""
    makers: dict[str, Make] = {
        "torch eager": torch_eager,
        "torch graph": torch_graph,
        "jax step": partial(jax_steps, together=1),
        "jax scan": partial(jax_steps, together=SCAN),
    }
    short: dict[str, Make] = {
        "torch graph, autocast": partial(torch_graph, short="autocast"),
        "torch graph, bfloat16 weights": partial(torch_graph, short="weights"),
        "jax scan": partial(jax_steps, together=SCAN, short=True),
    }
    timed: dict[str, dict[str, dict[int, float]]] = {}
    try:
        first = [(text, rows) for text in scale.networks[:2] for rows in scale.batch_sizes[-6::3]]
        for text, rows in first:
            compare(report, backend, scale, text, rows, makers, timed)
        epochs.run(report, backend, scale)
        for text, rows in first:
            compare(report, backend, scale, text, rows, {"torch compile": torch_compiled}, timed)
        for rows in scale.wide_batches:
            compare(report, backend, scale, scale.wide, rows, short, timed, "bfloat16")
        for text, rows in points(scale):
            if (text, rows) not in first:
                compare(report, backend, scale, text, rows, makers, timed)
    finally:
        goals(report, scale, timed)
        with report.check("picture of the steps", late=True):
            steps_picture(report.folder / f"part-{report.part}.png", timed)


def compare(
    report: ProofReport,
    backend: Backend,
    scale: Scale,
    text: str,
    rows: int,
    makers: dict[str, Make],
    timed: dict[str, dict[str, dict[int, float]]],
    precision: str = "float32",
) -> None:
    """Times one network at one batch size; a contender that does not run here says why and is left out."""
    title = text if precision == "float32" else f"{text}, {precision}"
    name = f"{title}, batch {rows}: {', '.join(makers)}"
    if name in report.broken:
        return
    with report.check(name, longest=240) as check:
        network = parse(text)
        if precision not in usable(backend):
            raise NotRun(f"{precision} does not run here")
        contenders: dict[str, Run] = {"gearshift": ProofSteps(backend, network, rows, precision).run}
        for name, make in makers.items():
            try:
                contender = make(network, weights(network), *batch(network, rows))
                contender(2)
                contenders[name] = contender
            except Exception as error:
                check[f"no {name}"] = f"{type(error).__name__}: {str(error)[:200]}"
        times = wall_seconds(scale, contenders)
        for name, seconds in times.items():
            check[f"{name}, us"] = seconds * 1e6
            timed.setdefault(title, {}).setdefault(name, {})[rows] = seconds
        others = [seconds for name, seconds in times.items() if name != "gearshift"]
        if not others:
            raise NotRun("nobody to compare with")
        check["times as fast as the best of the others"] = min(others) / times["gearshift"]


def goals(report: ProofReport, scale: Scale, timed: dict[str, dict[str, dict[int, float]]]) -> None:
    """Those of the project that this part measures."""

    def told(least: float, name: str, ratios: dict[str, float]) -> None:
        low = sorted(ratios, key=lambda point: ratios[point])
        missed = [f"{point}: {ratios[point]:.2f}" for point in low if ratios[point] < least]
        worst = f", the least {ratios[low[0]]:.2f} at {low[0]}" if low and not missed else ""
        said = f"{len(ratios) - len(missed)} of {len(ratios)}{worst}" + "".join(f"; {line}" for line in missed)
        report.goal(name, not missed if ratios else None, said if ratios else "not measured")

    def best(lines: dict[str, dict[int, float]], rows: int, *names: str) -> float | None:
        """The least time of some contenders, or of all but Gearshift."""
        return min(
            (
                times[rows]
                for name, times in lines.items()
                if name != "gearshift" and (not names or name in names) and rows in times
            ),
            default=None,
        )

    eager, small, everywhere = {}, {}, {}
    for text, lines in timed.items():
        for rows, mine in lines.get("gearshift", {}).items():
            point, others = f"{text}, batch {rows}", best(lines, rows)
            if others is None:
                continue
            everywhere[point] = others / mine
            if rows <= SMALL_BATCH and not text.startswith(scale.wide):
                small[point] = others / mine
                theirs = best(lines, rows, "torch eager")
                if theirs is not None:
                    eager[point] = theirs / mine
    told(5, f"batch {SMALL_BATCH} and less: at least 5 times as fast as PyTorch eager", eager)
    told(1.5, f"batch {SMALL_BATCH} and less: at least 1.5 times as fast as the best of all", small)
    told(1 / TIE, "no batch size where another is faster by more than a tie", everywhere)
