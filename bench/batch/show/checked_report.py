"""The report of trainings that check the advice."""

from __future__ import annotations

from rich.table import Table

from ..analysis.checked import AdviceCheck
from ..analysis.sentences import two_digits
from ..records import Validation
from .narrow import NarrowTable
from .numbers import duration, number, spread


def validation(found: AdviceCheck) -> Table:
    """Trainings to the target loss, with a row for each batch size."""
    title = f"Trained to a loss of {found.target:.3g} (medians over the seeds)"
    columns = ("batch", "learning rate", "of the adapted", "seeds", "steps", "examples", "time", "predicted")
    table = NarrowTable(columns, dispensable=("of the adapted", "seeds", "examples", "steps"), title=title)
    for point in found.points:
        table.add_row(
            f"{point.batch:,}",
            f"{point.lr:.2g}",
            f"{point.factor:g}×",
            f"{point.seeds}",
            number(point.steps),
            number(point.examples),
            spread(point.seconds, point.low, point.high),
            duration(point.predicted),
            style="bold" if point.batch == found.best else "",
        )
    return table


def verdict(found: AdviceCheck, measured: Validation) -> list[str]:
    """How far the predictions were off."""
    lines = []
    if found.hyperbola is not None:
        critical = found.hyperbola.critical
        after = found.best_batch_excess
        ends = [max(1.0, rows) for rows in (critical.value, found.predicted_noise)]
        apart = max(ends) / min(ends)
        lines.append(
            f"steps and examples follow 1 + B/b within {found.hyperbola.misfit:.0%}, with at least S = "
            f"{number(found.hyperbola.steps)} steps and E = {number(found.hyperbola.examples)} examples, so the "
            f"critical batch size B is E/S = {two_digits(critical.value)} rows ({two_digits(critical.low)} to "
            f"{two_digits(critical.high)}). The noise scale gave {two_digits(found.predicted_noise)}, {apart:.2g} "
            f"times off; the advice used {two_digits(found.predicted)}. With the measured value, the best batch size "
            f"is {found.best_batch:,}" + (f", which took {after.value:.2f}× the time of the best" if after else "")
        )
    if found.excess is not None:
        lines.append(
            f"the advised batch size, {found.advised:,}, took {found.excess.value:.2f}× the time of the best, "
            f"{found.best:,} ({found.excess.low:.2f} to {found.excess.high:.2f} with resampled seeds); "
            f"the median error of the predicted times is {found.time_error:.0%}"
        )
    if found.as_ruled is not None and found.excess is not None and found.as_ruled > 1.05 * found.excess.value:
        lines.append(
            f"with your learning rate, adapted to the batch size, it took {found.as_ruled:.2g}× the time: try others"
        )
    if measured.ended:
        lines.append(f"{measured.ended}; continue with --resume and --validate")
    return lines
