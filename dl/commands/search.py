"""``gearshift search``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ...backends.errors import ConfigurationError
from ..streams import say
from .console import BackendName, Json, Quiet, Settings, check_files


def search(
    config: Annotated[Path, typer.Argument(help="A TOML file with a [search] section.")],
    settings: Settings = None,
    backend: BackendName = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the scores against each parameter.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write every candidate's scores as .json.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Processes; search.jobs by default.")] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="Of a Dask cluster that runs the fits, as tcp://10.0.0.1:8786.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Searches for an estimator's parameters by cross-validation.

    Tries every point of a grid, or random points.
    """
    from ..experiment import search as searching
    from ..experiment.config import read_as
    from ..experiment.sections import SearchConfiguration
    from ..storage import write_atomically
    from ..storage.strict_json import dumps
    from ..training.progress import candidates

    check_files(plot=plot, out=out)
    if jobs is not None and scheduler is not None:
        raise ConfigurationError(f"--jobs {jobs} are processes of this machine; leave it out with --scheduler")
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # search.jobs are processes; they import nothing from this folder
    given = [*(settings or []), *([] if jobs is None else [f"search.jobs={jobs}"])]
    configuration = read_as(SearchConfiguration, config, given)
    plan = searching.prepare(configuration, backend)
    say(f"{len(plan.candidates)} candidates, {configuration.search.folds} folds each, on {plan.estimator}")
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
