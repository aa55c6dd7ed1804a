"""``gearshift lr``."""

from __future__ import annotations

import math
from logging import WARNING
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...backends.errors import ConfigurationError
from ..streams import say
from .console import (
    BackendName,
    ConfigFile,
    Json,
    Quiet,
    Settings,
    check_files,
    command,
    configuration_of,
    directory,
    show,
)
from .train import carry_out

if TYPE_CHECKING:
    from ..experiment.sections import Configuration
    from ..training.trainer import Trainer


def lr(
    config: ConfigFile = None,
    settings: Settings = None,
    backend: BackendName = None,
    rates: Annotated[str, typer.Option("--rates", help="Learning rates, such as 1e-3,1e-2.")] = "",
    iterations: Annotated[int, typer.Option("--iterations", help="Steps of each trial.")] = 100,
    go_on: Annotated[
        bool, typer.Option("--continue", help="Train on from the best trial, as gearshift train does.")
    ] = False,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="DIRECTORY", parser=directory, help="Of the run of --continue.")
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the losses against the rates.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write every trial's curve as .json.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Tries several learning rates and names the best."""
    from ..diagnostics import learning_rates
    from ..experiment import build as experiment
    from ..experiment.config import rooted
    from ..experiment.run_files import check_free
    from ..storage import write_atomically
    from ..storage.strict_json import dumps
    from ..training.progress import candidates

    check_files(plot=plot, out=out)
    if run is not None:
        if not go_on:
            raise ConfigurationError("--run is for --continue, which trains on from the best trial")
        check_free(run, resume=False)
    try:
        tried = [float(rate) for rate in rates.split(",")] if rates else list(learning_rates.RATES)
    except ValueError:
        raise ConfigurationError(f"--rates is {rates!r}; expected numbers with commas between, as 1e-3,1e-2") from None
    configuration = rooted(configuration_of(config, settings))
    splits, trainer = experiment.build(configuration, backend)

    def changed(rate: float) -> Configuration:
        optimizer = configuration.optimizer.model_copy(update={"lr": rate})
        return configuration.model_copy(update={"optimizer": optimizer})

    def make(rate: float) -> Trainer:
        trials["last"] = experiment.build_trainer(changed(rate), splits, trainer.backend.name)
        return trials["last"]

    def advanced(done: int, best: float) -> None:
        nonlocal least
        if best < least:
            least, trials["best"] = best, trials["last"]
        advance(done, best)

    trials: dict[str, Trainer] = {}
    least = math.inf

    many, name = len(tried), type(trainer.optimizer).__name__
    say(f"{many} learning rate{'s' * (many != 1)}, {iterations} steps each, {name}")
    with candidates(len(tried), quiet) as advance:
        result = learning_rates.learning_rate_trials(
            make,
            splits.train,
            rates=tried,
            iterations=iterations,
            batch_size=configuration.train.batch_size,
            advance=advanced,
        )
    if out:
        write_atomically(out, dumps(result.as_json(), indent=1).encode())
        say(f"written: {out}")
    if not as_json:
        result.show()
    try:
        best = result.best  # there is none if no trial learned anything
        if not (as_json and go_on):
            show({"optimizer.lr": best}, as_json)
    finally:
        if plot:
            result.plot(plot)
            say(f"drawn: {plot}")
    if go_on:
        chosen = experiment.build_trainer(changed(best), splits, trainer.backend.name)
        chosen.state.unpack(trials["best"].state.pack(), trials["best"].step, 0)
        say(f"going on from step {chosen.step} of the trial with learning rate {best:g}")
        carry_out(changed(best), splits, chosen, run, backend, quiet=quiet, as_json=as_json)
        return
    kept = [setting for setting in settings or [] if setting.partition("=")[0].strip() != "optimizer.lr"]
    file = [config] if config else []
    if result.further:
        rates = ",".join(f"{rate:g}" for rate in result.further)
        say(f"{result.remark}; try: {command('lr', *file, '--rates', rates, settings=kept, backend=backend)}", WARNING)
    say(f"next: {command('train', *file, settings=[*kept, f'optimizer.lr={result.best:g}'], backend=backend)}")
