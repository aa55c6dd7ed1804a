"""What the analysis of a measurement finds: knees, crossings and advice."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..records import Estimate


@dataclass(frozen=True)
class Knee:
    """The batch size at which throughput stops growing.

    Attributes
    ----------
    t0, ts, misfit, fits : the linear fit t(b) = t0 + b·ts, its error, and whether it is usable.
    half_peak : batch size of half the peak throughput; None if it is outside the measured batch sizes.
    grows : whether throughput still grows at the largest batch size, so that n½ is larger than all measured ones.
    peak : the highest throughput, in samples per second.
    peak_batch : the batch size with the highest throughput.
    underuse : the peak throughput divided by that of the smallest batch size.
    """

    t0: float
    ts: float
    misfit: float
    fits: bool
    half_peak: Estimate | None
    grows: bool
    peak: float
    peak_batch: int
    underuse: float


@dataclass(frozen=True)
class Crossing:
    """From which batch size `above` is the faster of two; below it `below` is.

    If there is no such batch size, `above` is faster at every batch size, or at most of them if `throughout` is False.
    """

    below: str
    above: str
    batch: Estimate | None
    throughout: bool = True


@dataclass(frozen=True)
class Advice:
    """The best batch size on a backend, and the settings for it.

    Attributes
    ----------
    batch : the advised batch size, a round number; `best_batch` is the optimum, `low` to `high` are within 5 % of it.
    critical : the critical batch size that the advice is based on.
    low_critical, high_critical : the best batch sizes for the ends of its confidence interval.
    explained : √(B·n½) if the linear fit is usable, otherwise None.
    gain : the speed-up over the configured batch size; None if that one was not measured.
    memory_bytes : activations and workspace at `batch`.
    """

    backend: str
    critical: float
    batch: int
    best_batch: int
    low: int
    high: int
    low_critical: int
    high_critical: int
    explained: float | None
    edge: str
    cost: float
    gain: float | None
    lr: float
    epochs: int
    schedule_steps: int
    warmup: int
    memory_bytes: int


@dataclass(frozen=True)
class Analysis:
    """The whole analysis.

    Attributes
    ----------
    best : the recommended backend; its advice comes first.
    doubted : whether other programs disturbed too much for advice to be shown.
    summary : what to use, why, and what it gains, a line each; or why there is no advice.
    """

    knees: dict[str, Knee] = field(default_factory=dict)
    crossings: list[Crossing] = field(default_factory=list)
    advice: list[Advice] = field(default_factory=list)
    best: str = ""
    doubted: bool = False
    summary: list[str] = field(default_factory=list)
