"""``gearshift lr``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...backends.errors import ConfigurationError
from ..streams import say
from .console import BackendName, ConfigFile, Json, Quiet, Settings, check_files, command, configuration_of, show

if TYPE_CHECKING:
    from ..training.trainer import Trainer


def lr(
    config: ConfigFile = None,
    settings: Settings = None,
    backend: BackendName = None,
    rates: Annotated[str, typer.Option("--rates", help="Learning rates, such as 1e-3,1e-2.")] = "",
    iterations: Annotated[int, typer.Option("--iterations", help="Steps of each trial.")] = 100,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the losses against the rates.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write every trial's curve as .json.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Tries several learning rates and names the best."""
    from ..diagnostics import learning_rates
    from ..experiment import build as experiment
    from ..storage import write_atomically
    from ..storage.strict_json import dumps
    from ..training.progress import candidates

    check_files(plot=plot, out=out)
    try:
        tried = [float(rate) for rate in rates.split(",")] if rates else list(learning_rates.RATES)
    except ValueError:
        raise ConfigurationError(f"--rates is {rates!r}; expected numbers with commas between, as 1e-3,1e-2") from None
    configuration = configuration_of(config, settings)
    splits, trainer = experiment.build(configuration, backend)

    def make(rate: float) -> Trainer:
        optimizer = configuration.optimizer.model_copy(update={"lr": rate})
        changed = configuration.model_copy(update={"optimizer": optimizer})
        return experiment.build_trainer(changed, splits, trainer.backend.name)

    say(f"{len(tried)} learning rates, {iterations} steps each, {type(trainer.optimizer).__name__}")
    with candidates(len(tried), quiet) as advance:
        result = learning_rates.learning_rate_trials(
            make,
            splits.train,
            rates=tried,
            iterations=iterations,
            batch_size=configuration.train.batch_size,
            advance=advance,
        )
    if out:
        write_atomically(out, dumps(result.as_json(), indent=1).encode())
        say(f"written: {out}")
    if not as_json:
        result.show()
    try:
        show({"optimizer.lr": result.best}, as_json)  # there is none if no trial learned anything
    finally:
        if plot:
            result.plot(plot)
            say(f"drawn: {plot}")
    kept = [setting for setting in settings or [] if setting.partition("=")[0].strip() != "optimizer.lr"]
    file = [config] if config else []
    say(f"next: {command('train', *file, settings=[*kept, f'optimizer.lr={result.best:g}'], backend=backend)}")
