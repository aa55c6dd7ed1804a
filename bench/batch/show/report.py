"""The report of a run: tables made with Rich, and a text plot."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ....backends.errors import ConfigurationError
from ....dl.commands.console import command
from ....dl.experiment.config import changes, parse
from ..analysis.analyse import analyse, critical_batch, noise_scale
from ..analysis.checked import check
from ..analysis.findings import Advice, Analysis, Knee
from ..analysis.scaling import of_document
from ..analysis.sentences import lost_by_operation, two_digits
from ..analysis.trained import by_batch, hyperbola
from ..points import BOUNDS, OTHER, Point
from ..records import BackendRecord, Document, Proof
from . import scaling_report
from .checked_report import validation, verdict
from .narrow import NarrowTable
from .numbers import duration, number, sides, size
from .text_plot import plot

STYLES: dict[str | None, str] = {"compute": "green", "memory": "yellow", "launch": "red"}


def show(document: Document, console: Console) -> None:
    """Prints the summary, the command to train with, and then what was measured."""
    console.print(render(document, analyse(document)), crop=False)  # a command to copy is one line, however long


def render(document: Document, analysis: Analysis) -> RenderableType:
    """The whole report."""
    task, machine = document.task, document.machine
    parts: list[RenderableType] = []
    if document.simulated:
        parts.append(Text("SIMULATION: these values were not measured", style="bold red"))
    what = f"{task.network}, {task.parameters:,} parameters, {task.optimizer}, {task.dtype}"
    parts.append(Text(f"{what}; {task.data}, {task.rows:,} rows; {machine.get('processor', '')}"))
    parts += [Text(), *(Text(one, style="yellow bold" if analysis.doubted else "bold") for one in analysis.summary)]
    shown = [] if analysis.doubted else analysis.advice
    if shown:
        parts += [Text(), pasted(line(document, shown[0])), Text(), advice(shown)]
    for record in document.backends:
        points = document.of(record.name)
        if points:
            knee = analysis.knees.get(record.name)
            parts += [Text(), table(record, points, knee), peak_rates(record, points)]
        if record.limit:
            parts.append(Text(f"{record.name}: {record.limit}", style="yellow"))
        parts += [Text(f"FAULT {record.name}, batch {p.batch:,}: {p.fault}", style="red") for p in points if p.fault]
        if unsure := disturbances(points):
            parts.append(Text(f"{record.name}: {unsure}", style="yellow"))
    if analysis.knees:
        parts += [Text(), plot(document)]
    parts += [Text(), *(Text(line) for line in knees(analysis))]
    if document.noise is not None:
        parts += [Text(), noise(document), Text(critical(document))]
        if shown and shown[0].explained is not None:
            parts.append(Text(f"check: the linear fit gives √(B · n½) = {two_digits(max(1.0, shown[0].explained))}"))
    elif document.noise_absent:
        parts.append(Text(f"no noise scale: {document.noise_absent}", style="yellow"))
    scaling = of_document(document)
    if scaling is not None and document.workers is not None:
        parts += [Text(), scaling_report.table(scaling), *map(Text, scaling_report.lines(scaling, document.workers))]
    if document.proofs:
        parts += [Text(), proofs(document.proofs)]
    checked = check(document)
    if checked is not None and document.validation is not None:
        parts += [Text(), validation(checked), *(Text(line) for line in verdict(checked, document.validation))]
    if document.validation_absent:
        parts.append(Text(f"no validation: {document.validation_absent}", style="yellow"))
    if shown:
        parts += [Text(), pasted(f"next: {line(document, shown[0])}")]
    return Group(*parts)


def pasted(text: str) -> Text:
    """A command on one line, however long it is."""
    return Text(text, no_wrap=True, overflow="ignore")


def table(record: BackendRecord, points: Sequence[Point], knee: Knee | None) -> Table:
    """A table with a row for each batch size."""
    how = "compiled steps" if record.loop == "compiled" else "operation by operation"
    columns = ("batch", "step", "middle half", "samples/s", "of peak", "bound", "share", *BOUNDS, OTHER, "epoch")
    last = ("epoch", "middle half", "share", "of peak", *BOUNDS, OTHER)
    title = f"{record.name}, {how}: {record.device}"
    found = NarrowTable(columns, ["bound"], last, title=title, padding=(0, 1), pad_edge=False)
    best = knee.peak if knee else max(point.samples_per_second for point in points)
    for point in points:
        share, parts = point.share, point.bound_seconds
        split = [f"{parts[name] / point.step_seconds:.0%}" if share else "" for name in BOUNDS]
        found.add_row(
            f"{point.batch:,}",
            duration(point.step_seconds),
            Text(sides(point.step_seconds, *point.quartiles), style="dim"),
            number(point.samples_per_second),
            f"{point.samples_per_second / best:.0%}",
            Text(point.limit or "", style=STYLES.get(point.limit, "")),
            Text(f"{share:.2f}" if share else "", style="red" if point.fault else ""),
            *split,
            f"{max(0.0, 1 - share):.0%}" if share else "",
            duration(median(point.epochs)) if point.epochs else "–",
        )
    return found


def peak_rates(record: BackendRecord, points: Sequence[Point]) -> RenderableType:
    """The peak rates, and the operations that lose most (if steps run operation by operation)."""
    roof = record.peak_rates
    if not (roof.streams and roof.products and roof.launches):
        return Text()
    best = max(roof.products, key=lambda rate: rate.flops_per_second)
    small, large = roof.streams[0], roof.streams[-1]
    call = 1e6 * sorted(roof.launches.values())[len(roof.launches) // 2]
    waits = "thread synchronisation" if record.loop == "compiled" else "empty call"
    text = (
        f"peak rates: products {best.flops_per_second / 1e9:,.0f} GFLOP/s (layer {best.layer}, batch "
        f"{best.batch:,}); in-place memory updates {small.update / 1e9:,.0f} GB/s at {size(small.bytes)}, "
        f"{large.update / 1e9:,.0f} at {size(large.bytes)}; {waits} {call:.2g} µs"
    )
    if record.threads:
        text += "; threads: " + ", ".join(f"{name} {count}" for name, count in record.threads.items())
    found = losses(points)
    if found:
        text += "\nmost other time: " + "; ".join(found)
    return Text(text, style="dim")


def losses(points: Sequence[Point]) -> list[str]:
    """The operations that lose most, at a small, a medium and a large batch size."""
    chosen = dict.fromkeys([0, len(points) // 2, len(points) - 1])
    lines = []
    for point in (points[place] for place in chosen):
        first = list(lost_by_operation(point).items())[:2]
        if first:
            lines.append(f"batch {point.batch:,} " + ", ".join(f"{name} {part:.0%}" for name, part in first))
    return lines


def disturbances(points: Sequence[Point]) -> str:
    """The batch sizes at which other programs used the machine in nearly every round; empty if there are none."""
    found = ", ".join(f"{point.batch:,}" for point in points if point.unsure)
    return (
        f"other programs used the machine in nearly every round at batch {found}; run again without them"
        if found
        else ""
    )


def knees(analysis: Analysis) -> list[str]:
    """A line for each backend, with its half-peak batch and linear fit, and for each crossing."""
    lines = []
    for name, knee in analysis.knees.items():
        text = f"{name}: peak {number(knee.peak)} samples/s at {knee.peak_batch:,}; "
        if knee.grows:
            text += "throughput is still growing at the largest batch size, so n½ is larger"
        elif knee.half_peak is None:
            text += "the smallest batch size already reaches half of it"
        else:
            half = knee.half_peak
            text += f"half of it at n½ = {two_digits(half.value)} ({two_digits(half.low)} to {two_digits(half.high)})"
        line = f"t(b) = {duration(knee.t0)} + b · {duration(knee.ts)}"
        fits = f"is off by {knee.misfit:.0%}" + ("" if knee.fits else " (not usable; n½ is read from the curve)")
        text += f"; the linear fit {line} {fits}"
        lines.append(text)
    for crossing in analysis.crossings:
        if crossing.batch is None:
            extent = "every batch size" if crossing.throughout else "most batch sizes, without a clear crossing"
            lines.append(f"{crossing.above} is faster than {crossing.below} at {extent}")
        else:
            batch = crossing.batch
            lines.append(
                f"{crossing.above} is faster than {crossing.below} from batch {two_digits(batch.value)} on "
                f"({two_digits(batch.low)} to {two_digits(batch.high)})"
            )
    return lines


def noise(document: Document) -> Text:
    """The noise scale, and how it changed during the run."""
    measured, scale = document.noise, noise_scale(document)
    assert measured is not None and scale is not None
    kind = "scaled as by Adam" if measured.adam else "unscaled"
    first, last = measured.places[0], measured.places[-1]

    def of(value: float) -> str:
        return two_digits(max(1.0, value))

    text = (
        f"gradient noise scale = {of(scale.value)} rows ({of(scale.low)} to {of(scale.high)}), gradients {kind}, over "
        f"{last.step:,} steps on {measured.backend}; unscaled {of(first.scale.value)} at step {first.step:,}, "
        f"{of(last.scale.value)} at step {last.step:,}; at the end "
    )
    layers = (f"{of(value)} in {f'layer {name}' if name else 'all layers'}" for name, value in last.layers.items())
    return Text(text + ", ".join(layers))


def critical(document: Document) -> str:
    """The critical batch size, and how it was found."""
    scale, found = critical_batch(document), document.trainings
    assert scale is not None
    shape = hyperbola(found) if found else None
    text = f"{two_digits(max(1.0, scale.low))} to {two_digits(scale.high)}"
    if found is None or shape is None:
        reached = "too few trainings reached the target loss" if found else "it was not measured by training"
        return f"critical batch size: {reached}; the noise scale, which may be several times off, gives {text} rows"
    chosen = by_batch(found)
    text = (
        f"critical batch size B = {two_digits(scale.value)} rows ({text}), from {len(found.trials)} trainings to a "
        f"loss of {found.target:.3g} with batches of {', '.join(f'{batch:,}' for batch in chosen)} rows, each with the "
        f"best of several learning rates; the steps follow 1 + B/b within {shape.misfit:.0%}"
    )
    factors = sorted(trials[0].factor for trials in chosen.values())
    middle = factors[len(factors) // 2]
    return text + ("" if 0.5 <= middle <= 2 else f"; the best learning rates were {middle:g}× yours, adapted: try them")


def advice(given: Sequence[Advice]) -> Table:
    """A table with a row for each backend, the fastest first."""
    columns = ("backend", "take", "within 5 %", "if B is off", "time", "learning rate", "epochs", "memory")
    last = ("if B is off", "memory", "within 5 %", "epochs")
    found = NarrowTable(columns, ["backend"], last, title="The batch size that reaches the target fastest")
    for one in given:
        found.add_row(
            one.backend,
            f"{one.batch:,}",
            f"{one.low:,} to {one.high:,}",
            f"{one.low_critical:,} to {one.high_critical:,}",
            f"{one.cost / given[0].cost:.2f}×",
            f"{one.lr:g}",
            f"{one.epochs}",
            size(one.memory_bytes),
        )
    return found


def advised(document: Document, first: Advice) -> list[str]:
    """The settings to change."""
    task = document.task
    changed = [f"train.batch_size={first.batch}", f"optimizer.lr={first.lr:g}", f"train.epochs={first.epochs}"]
    if task.schedule_steps:
        changed.append(f"schedule.steps={first.schedule_steps}")
    if task.warmup:
        changed.append(f"schedule.warmup={first.warmup}")
    return changed


def line(document: Document, first: Advice) -> str:
    """The `gearshift train` command that trains the measured configuration with the advised settings."""
    changed = advised(document, first)
    keys = {setting.partition("=")[0] for setting in changed}
    try:
        begun = changes(parse(document.configuration))
    except ConfigurationError:  # a file of another version
        begun = []
    kept = [setting for setting in begun if setting.partition("=")[0] not in keys]
    return command("train", settings=[*kept, *changed], backend=first.backend)


def proofs(found: Sequence[Proof]) -> Table:
    """The predicted and the measured effect of single changes to a step."""
    title = f"Effect of single changes to a step of {found[0].backend}"
    columns = ("change", "batch", "bound before", "predicted", "measured")
    table = NarrowTable(columns, ["change", "bound before"], title=title)
    for one in found:
        bound = Text(one.bound or "", style=STYLES.get(one.bound, ""))
        predicted = "a peak rate is wrong" if one.fault else f"{one.low:.2f} to {one.high:.2f}×"
        table.add_row(one.change, f"{one.batch:,}", bound, predicted, f"{one.measured:.2f}×")
    return table
