"""``gearshift doctor``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..._version import __version__
from ...backends.errors import UserError
from .console import BackendName, Json, Quiet, Settings, configuration_of


def doctor(
    config: Annotated[Path | None, typer.Argument(help="A TOML file, to show how its training would run.")] = None,
    settings: Settings = None,
    backend: BackendName = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Lists the backends that run here and says what others miss.

    Given a configuration, also says how its training would run.
    """
    from dataclasses import asdict

    from ... import backends
    from ...backends import kernel_cache

    statuses, training = backends.available(), ""
    if config or settings or backend:
        from ..experiment import build as experiment

        configuration = configuration_of(config, settings)
        splits, trainer = experiment.build(configuration, backend)
        training = trainer.explain(splits.train, accumulate=configuration.train.accumulate)
    if as_json:
        found = {name: asdict(status) for name, status in statuses.items()}
        print(json.dumps({**found, **({"training": training} if training else {})}, default=dict))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"gearshift {__version__}, Python {sys.version.split()[0]}")
    for column in ("backend", "runs", "device", "versions", "memory", "threads"):
        table.add_column(column, overflow="fold")
    for status in statuses.values():
        memory = status.memory and f"{status.memory[0] / 2**30:.1f} of {status.memory[1] / 2**30:.1f} GiB free"
        table.add_row(
            status.name,
            "yes" if status.runs else "no",
            status.device or status.reason,
            _pairs(status.versions),
            memory or "",
            _pairs(status.threads),
        )
    Console().print(table)
    for status in statuses.values():
        if not status.runs:
            print(f"{status.name}: {status.reason}. {status.remedy}")
        elif status.remark:
            print(f"{status.name}: {status.remark}")
    if kernel_cache.remark():
        print(kernel_cache.remark())
    try:
        print(f"auto takes: {backends.get().name}")
    except UserError as error:
        print(f"auto takes: none, {error}")
    if training:
        print(training)


def _pairs(pairs: Any) -> str:
    return "\n".join(f"{name} {value}" for name, value in pairs.items())
