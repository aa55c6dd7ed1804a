"""``gearshift search``."""

from __future__ import annotations

import os
from logging import WARNING
from pathlib import Path
from typing import Annotated

import typer

from ...backends.errors import ConfigurationError
from ..streams import say
from .console import BackendName, Json, Quiet, Settings, check_files, command, directory


def search(
    config: Annotated[Path, typer.Argument(help="A TOML file with a [search] section.")],
    settings: Settings = None,
    backend: BackendName = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the scores against each parameter.")] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run", metavar="DIRECTORY", parser=directory, help="Directory of the runs of a training search."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write every candidate's scores as .json.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Processes; search.jobs by default.")] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            help="A Dask or Ray cluster that runs the fits, such as ray://10.0.0.1:10001.",
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Searches for the best parameters of a training or an estimator.

    Tries every point of a grid, or random points. Keys of a training, such as optimizer.lr, make each candidate a run;
    parameters of an estimator are compared by cross-validation.
    """
    from ..experiment.training_search import searches_training

    if searches_training(config):
        return _training_search(config, settings or [], backend, run, plot, out, quiet, as_json)
    from ..experiment import search as searching
    from ..experiment.config import read_as
    from ..experiment.sections import SearchConfiguration
    from ..storage import write_atomically
    from ..storage.strict_json import dumps
    from ..training.progress import candidates

    if run is not None:
        raise ConfigurationError(
            f"--run is for a search over keys of a training, such as optimizer.lr; {config} has none in "
            "[search.parameters]"
        )
    check_files(plot=plot, out=out)
    if jobs is not None and scheduler is not None:
        raise ConfigurationError(f"--jobs {jobs} are processes of this machine; leave it out with --scheduler")
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # search.jobs are processes; they import nothing from this folder
    given = [*(settings or []), *([] if jobs is None else [f"search.jobs={jobs}"])]
    configuration = read_as(SearchConfiguration, config, given)
    plan = searching.prepare(configuration, backend)
    many, folds = len(plan.candidates), configuration.search.folds
    say(f"{many} candidate{'s' * (many != 1)}, {folds} folds each, on {plan.estimator}")
    with candidates(len(plan.candidates), quiet) as advance:
        result = plan.run(advance, scheduler)
    if as_json:
        print(dumps({"best": result.best, "score": result.rows[0].mean, "test": result.test}))
    else:
        result.show()
    if out:
        write_atomically(out, dumps(result.as_json(), indent=1).encode())
        say(f"written: {out}")
    if plot:
        from ..experiment.search import search_scores

        search_scores(result, plot)
        say(f"drawn: {plot}")


def _training_search(
    config: Path,
    settings: list[str],
    backend: str | None,
    run: Path | None,
    plot: Path | None,
    out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """A search whose candidates are runs."""
    import tomllib

    from ...backends.registry import resolve
    from ..experiment.run_files import fresh
    from ..experiment.search import scores_picture
    from ..experiment.training_search import prepare_training_search
    from ..storage import write_atomically
    from ..storage.files import TEXT, read_bytes
    from ..storage.strict_json import dumps
    from ..training.progress import candidates

    if settings:
        raise ConfigurationError("--set is not for a search over keys of a training; change the file")
    check_files(plot=plot, out=out)
    table = tomllib.loads(read_bytes(config, TEXT).decode("utf-8-sig"))
    folder = run or fresh(Path("runs"))
    trials = prepare_training_search(table, folder, resolve(backend))
    many = len(trials.rows)
    say(f"{many} candidate{'s' * (many != 1)}, in {folder}; epochs: {', '.join(map(str, trials.rungs()))}")
    try:
        with candidates(trials.trainings(), quiet) as advance:
            trials.run(advance)
    except KeyboardInterrupt:
        say(f"stopped; go on with: {command('search', config, '--run', folder, backend=backend)}", WARNING)
        raise
    best = trials.rows[0]
    if as_json:
        print(dumps({"best": best.parameters, "run": str(folder / best.run), trials.monitor: best.score}))
    else:
        trials.show()
        say(f"next: {command('evaluate', folder / best.run, backend=backend)}")
    if out:
        write_atomically(out, dumps(trials.as_json(), indent=1).encode())
        say(f"written: {out}")
    if plot:
        rows = [(row.parameters, row.score, 0.0) for row in trials.rows if row.score == row.score]
        scores_picture(rows, trials.monitor, plot)
        say(f"drawn: {plot}")
