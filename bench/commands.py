"""``gearshift bench``, ``compare`` and ``peers``: the command-line options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..dl.commands.console import INTERRUPTED, ConfigFile, Json, Quiet, Settings, check_files, configuration_of

SLOWER, NOT_COMPARABLE = 3, 4  # exit codes of `gearshift compare`


def bench(
    config: ConfigFile = None,
    settings: Settings = None,
    batch_sizes: Annotated[
        str | None, typer.Option("--batch-sizes", help="For example 1:65536 (doublings) or 1,8,64.")
    ] = None,
    names: Annotated[str | None, typer.Option("--backends", help="For example numpy,numba; all by default.")] = None,
    budget: Annotated[str | None, typer.Option("--budget", help="For example 60s or 5m; 60s by default.")] = None,
    noise: Annotated[bool, typer.Option("--noise/--no-noise", help="Measure the gradient noise scale.")] = True,
    validate: Annotated[bool, typer.Option("--validate", help="Check the advice by training to a loss.")] = False,
    prove: Annotated[bool, typer.Option("--prove", help="Check the bounds by changing one thing at a time.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Four batch sizes, in seconds.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the measurement in --out.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write everything measured as .json.")] = None,
    source: Annotated[Path | None, typer.Option("--from", help="Show this file; measure nothing.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw four pictures, .svg or .png.")] = None,
    page: Annotated[Path | None, typer.Option("--html", help="Write one page with interactive charts.")] = None,
    workers: Annotated[
        str | None, typer.Option("--workers", help="Predict how many devices pay, for example 1:1024.")
    ] = None,
    network: Annotated[
        str | None, typer.Option("--network", help="Between them, for example 25us,100Gbit; measured by default.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Explains why the device is idle, and recommends a batch size.

    Times training steps at many batch sizes, on every available backend.
    """
    from ..dl.experiment.config import rooted
    from .batch import command, files

    asked = command.request(
        batch_sizes, names, budget, noise, quick, out, resume, plot, validate, page, prove, workers, network
    )
    if source is not None:
        document = files.read(source)
        command.ask_again(document, asked)
        command.report(document, asked, as_json)
        return
    configuration = rooted(configuration_of(config, settings))
    document, interrupted = command.run(configuration, asked)
    command.report(document, asked, as_json)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def compare(
    before: Annotated[Path, typer.Argument(help="A file of `gearshift bench --out`.")],
    after: Annotated[Path, typer.Argument(help="A later one.")],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Lists what became faster or slower between two files of `bench`.

    Differences caused by noise do not count. Exit codes: 0 if nothing is slower, 3 if something is, and 4 if other
    programs disturbed the measurements too much.
    """
    from dataclasses import asdict

    from rich.console import Console

    from ..dl.storage.strict_json import dumps
    from .batch import files
    from .batch.analysis.compare import compare as compared
    from .batch.show.compare_report import show as show_table

    found = compared(files.read(before), files.read(after))
    if as_json:
        print(dumps(asdict(found) | {"comparable": found.comparable}))
    else:
        show_table(found, Console(width=None if sys.stdout.isatty() else 120))
    if not found.comparable:
        raise typer.Exit(NOT_COMPARABLE)
    if found.slower:
        raise typer.Exit(SLOWER)


def peers(
    networks: Annotated[
        str | None, typer.Option("--networks", help="For example 784-128-10,autoencoder,transformer.")
    ] = None,
    batch_sizes: Annotated[str | None, typer.Option("--batch-sizes", help="For example 1,128.")] = None,
    contenders: Annotated[str | None, typer.Option("--contenders", help="For example numba,torch,jax.")] = None,
    rounds: Annotated[int | None, typer.Option("--rounds", help="Rounds; default 7, for epochs 3 or 5.")] = None,
    measure: Annotated[str, typer.Option("--measure", help="step, epoch, model, all of these, or ranks.")] = "all",
    quick: Annotated[bool, typer.Option("--quick", help="A few points, in a minute.")] = False,
    isa: Annotated[str, typer.Option("--isa", help="native; or avx2, avx, sse4, without JAX.")] = "native",
    source: Annotated[Path | None, typer.Option("--from", help="Show this file; measure nothing.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write everything measured as .json.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw a picture, .svg or .png.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compares training on the CPU with PyTorch, JAX and scikit-learn.

    Libraries that are not installed are left out.
    """
    from .peers import command, results

    asked = command.request(networks, batch_sizes, contenders, rounds, measure, quick, isa)
    check_files(out=out, plot=plot)
    measurement, interrupted = (results.read(source), False) if source else command.run(asked)
    command.report(measurement, out, plot, as_json)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
