"""``gearshift peers``: checks the options, measures, and reports."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from logging import INFO
from pathlib import Path

from ...backends.errors import ConfigurationError
from ...dl.streams import hears
from . import networks, ranks
from .contender import ENTRIES
from .isa import FREE, environment
from .models import MODELS
from .results import Measurement, text, write

MEASURES = ("step", "epoch", "model", "all", "ranks")
ROUNDS = {"step": 7, "epoch": 3, "model": 5, "ranks": 7}
QUICK_NETWORKS, QUICK_BATCHES, QUICK_ROUNDS = ("784-128-10",), (1, 128), 3


@dataclass(frozen=True)
class PeersRequest:
    """What to measure.

    Attributes
    ----------
    steps : networks and batch sizes.
    epochs : networks.
    models : general models.
    contenders : names, including those that do not train: `reference` and `peak`.
    rounds : for each measure.
    isa : instruction set, one of `isa.ISAS`.
    ranks : networks whose epochs are run by several processes.
    """

    steps: list[tuple[str, int]]
    epochs: list[str]
    models: list[str]
    contenders: list[str]
    rounds: dict[str, int]
    isa: str = "native"
    ranks: list[str] = field(default_factory=list)


def request(
    names: str | None = None,
    batch_sizes: str | None = None,
    contenders: str | None = None,
    rounds: int | None = None,
    measure: str = "all",
    quick: bool = False,
    isa: str = "native",
) -> PeersRequest:
    """The request for these options, which are lists with commas.

    Raises
    ------
    ConfigurationError
        An option is not valid.
    """
    if measure not in MEASURES:
        raise ConfigurationError(f"--measure {measure!r} is not known; expected one of: {', '.join(MEASURES)}")
    if rounds is not None and rounds < 1:
        raise ConfigurationError(f"--rounds is {rounds}; expected at least 1")
    environment(isa)  # refuses a name that is not known
    named = items("--networks", names) if names else []
    wanted = [networks.parse(name).name for name in named if name not in MODELS]
    batches = [batch_size(text) for text in items("--batch-sizes", batch_sizes)] if batch_sizes else None
    free = () if isa == "native" else FREE
    everyone = [name for name in ENTRIES if name not in free]
    chosen = items("--contenders", contenders) if contenders else everyone
    unknown = [name for name in chosen if name not in ENTRIES]
    if unknown:
        raise ConfigurationError(f"contender {unknown[0]!r} is not known; expected one of: {', '.join(ENTRIES)}")
    for name in free:
        if name in chosen:
            raise ConfigurationError(
                f"contender {name!r} cannot be held to --isa {isa}; expected others, or --isa native"
            )
    step_networks = wanted if named else QUICK_NETWORKS if quick else networks.STEP_NETWORKS
    epoch_networks = wanted if named else networks.EPOCH_NETWORKS[: 1 if quick else None]
    models = [name for name in named if name in MODELS] if named else [*MODELS][: 1 if quick else None]
    sizes = batches or (QUICK_BATCHES if quick else networks.BATCH_SIZES)
    measures = {"all": {"step", "epoch", "model"}}.get(measure, {measure})
    return PeersRequest(
        [(name, batch) for name in step_networks for batch in sizes] if "step" in measures else [],
        list(epoch_networks) if "epoch" in measures else [],
        models if "model" in measures else [],
        [
            name
            for name, entry in ENTRIES.items()
            if (name in chosen or not entry.learns) and measures.intersection(entry.measures)
        ],
        {name: rounds or (QUICK_ROUNDS if quick else default) for name, default in ROUNDS.items()},
        isa,
        list(wanted or ranks.NETWORKS) if "ranks" in measures else [],
    )


def items(option: str, text: str) -> list[str]:
    """The items of a list with commas."""
    found = [item.strip() for item in text.split(",")]
    if not all(found):
        raise ConfigurationError(f"{option} {text!r} has an empty item; expected a list with commas")
    return list(dict.fromkeys(found))


def batch_size(text: str) -> int:
    """A batch size."""
    if not text.isdecimal() or not 0 < int(text) <= 1 << 20:
        raise ConfigurationError(f"batch size {text!r} is not possible; expected an integer from 1 to {1 << 20:,}")
    return int(text)


def run(asked: PeersRequest) -> tuple[Measurement, bool]:
    """Measures; returns the results, and whether it was interrupted."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from .measure import Crew

    points = [("step", *point) for point in asked.steps]
    points += [("epoch", network, networks.EPOCH_BATCH) for network in asked.epochs]
    points += [("model", name, MODELS[name].batch) for name in asked.models]
    points += [("ranks", network, ranks.BATCH) for network in asked.ranks]
    threads, told = (ranks.THREADS if asked.ranks else None), lambda text: bar.update(task, description=text)
    described = TextColumn("{task.description}")
    with Progress(
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        described,
        console=Console(file=sys.stderr),
        transient=True,
        refresh_per_second=2,
        disable=not hears(INFO),
    ) as bar:
        task = bar.add_task("", total=len(points))
        with Crew(asked.contenders, asked.rounds, told, asked.isa, threads) as crew:
            try:
                crew.settle()
                for measure, network, batch in points:
                    crew.measure(measure, network, batch)
                    bar.advance(task)
            except KeyboardInterrupt:
                return crew.measurement, True
            return crew.measurement, False


def report(measurement: Measurement, out: Path | None, plot: Path | None, as_json: bool = False) -> None:
    """Writes the results, prints them as tables or JSON, and draws the picture last, because that may fail."""
    from rich.console import Console

    from .report import show

    try:
        if out is not None:
            write(measurement, out)
    finally:
        if as_json:
            print(text(measurement))
        else:
            show(measurement, Console(width=None if sys.stdout.isatty() else 200))
    if plot is not None:
        from .plot import save

        save(measurement, plot)
