"""The advice of `gearshift bench` against the known truth of simulated devices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import simulation
from simulation import BATCHES, Device, Roof

from gearshift.bench.batch.analysis.analyse import advice, analyse, knee
from gearshift.bench.batch.analysis.curve import Curve, crossover, curve, fit
from gearshift.bench.batch.analysis.roofline import memory_seconds
from gearshift.bench.batch.analysis.sentences import most_bound, two_digits
from gearshift.bench.batch.points import Point, TimeBound
from gearshift.bench.batch.records import PeakRates, Streams
from gearshift.bench.batch.show import numbers, report
from gearshift.dl.step.costs import Cost

TRIALS = 200


def measured(device: Device, seed: int, rounds: int = 7) -> Curve:
    """A simulated curve."""
    random = np.random.default_rng(seed)
    return curve(BATCHES, [device.rounds(batch, rounds, random) for batch in BATCHES])


def devices(count: int) -> list[Device]:
    """Devices of all kinds: half-peak batches from 3 to 3,000."""
    random = np.random.default_rng(7)
    return [
        Device("made up", t0, t0 / 10 ** random.uniform(0.5, 3.5), spread=random.uniform(0.01, 0.06))
        for t0 in 10 ** random.uniform(-5, -2.5, count)
    ]


def test_half_peak_within_ten_per_cent() -> None:
    """n½ of simulated measurements is the truth within 10 %, in 95 of 100 trials at the least; its interval covers."""
    errors, covered = [], 0
    for seed, device in enumerate(devices(TRIALS)):
        found = knee(measured(device, seed))
        assert found.fits and found.half_peak is not None
        errors.append(abs(found.half_peak.value / device.half_peak - 1))
        covered += found.half_peak.low <= device.half_peak <= found.half_peak.high
    assert np.median(errors) < 0.03 and np.quantile(errors, 0.95) < 0.10
    assert covered >= 0.9 * TRIALS


def test_crossover_interval_covers_the_truth() -> None:
    """In at least 90 % of 200 trials."""
    random, covered = np.random.default_rng(3), 0
    for seed in range(TRIALS):
        cpu = Device("cpu", 50e-6, 10 ** random.uniform(-6, -5))
        gpu = Device("gpu", 10 ** random.uniform(-3.9, -3), cpu.ts / random.uniform(3, 30))
        truth = (gpu.t0 - cpu.t0) / (cpu.ts - gpu.ts)
        found = crossover(measured(cpu, 2 * seed), measured(gpu, 2 * seed + 1))
        assert found is not None
        covered += found.low <= truth <= found.high
        assert crossover(measured(gpu, 2 * seed + 1), measured(cpu, 2 * seed)) is None
    assert covered >= 0.9 * TRIALS


def test_crossover_of_curves_that_are_no_lines() -> None:
    """Read off the curves: one is flat until 256 rows and grows with the square from there."""
    batches = np.array(BATCHES, dtype=float)
    error = np.full(len(BATCHES), 0.01)
    bent = Curve(batches, 1e-4 * np.maximum(1, batches / 256) ** 2, error)
    flat = Curve(batches, np.full(len(BATCHES), 1.6e-3), error)
    found = crossover(bent, flat)
    assert not fit(bent).fits and found is not None
    assert found.value == pytest.approx(1024, rel=0.02) and found.low < 1024 < found.high


def test_best_batch_lies_in_the_true_band() -> None:
    """b* of noisy measurements is within 5 % of the least true time, which √(B·n½) attains."""
    random, inside = np.random.default_rng(5), 0
    for seed, device in enumerate(devices(TRIALS)):
        noise = 10 ** random.uniform(1, 4)

        def true(batch: float, device: Device = device, noise: float = noise) -> float:
            return (1 + noise / batch) * (device.t0 + batch * device.ts)

        best = min(math.sqrt(noise * device.half_peak), BATCHES[-1])
        found = advice.best_batch(measured(device, seed), noise, BATCHES[-1])
        inside += true(found.batch) <= 1.05 * true(best)
        assert found.low <= found.batch <= found.high
    assert inside >= 0.95 * TRIALS


def test_band_of_the_best_batch() -> None:
    """The worked example: t0 = 200 µs, ts = 0.5 µs, B = 900 give 600, and 382 to 943."""
    batches = np.exp(np.linspace(0, math.log(65536), 2000))
    exact = Curve(batches, 200e-6 + 0.5e-6 * batches, np.zeros(2000))
    found = advice.best_batch(exact, 900, 65536)
    assert (found.batch, found.low, found.high) == pytest.approx((600, 382, 943), rel=0.02)
    assert found.cost == pytest.approx((math.sqrt(200e-6) + math.sqrt(900 * 0.5e-6)) ** 2, rel=1e-4)
    stopped = advice.best_batch(exact, 900, 300)
    assert (stopped.batch, stopped.edge) == (300, "largest")


def test_bound_labels() -> None:
    """In at least 95 % of trials, with peak_rates measured with errors; all three bounds occur."""
    random, right, seen, trials = np.random.default_rng(11), 0, set(), 0
    for _ in range(TRIALS):
        roof = Roof(10 ** random.uniform(-6.5, -5), 10 ** random.uniform(10, 12.5), 10 ** random.uniform(11, 14))
        for batch in random.choice(BATCHES, 3):
            truth = roof.bound(int(batch))
            point = Point(backend="", batch=int(batch), time_bounds=roof.time_bounds(int(batch), random))
            right, trials = right + (point.bound == truth), trials + 1
            seen.add(truth)
    assert seen == {"compute", "memory", "launch"}
    assert right >= 0.95 * trials


def test_misfit_is_said() -> None:
    """A curve with a jump is explained by no line; n½ is read off the curve."""
    batches = np.array(BATCHES, dtype=float)
    jump = Curve(batches, np.where(batches < 512, 1e-4, 4e-6 * batches), np.full(len(BATCHES), 0.01))
    found = knee(jump)
    assert not found.fits and found.half_peak is not None
    assert found.half_peak.value == pytest.approx(128) and found.peak_batch == 256
    assert found.peak == pytest.approx(256 / 1e-4) and found.underuse == pytest.approx(256)


@pytest.mark.parametrize("seed", range(5))
def test_throughput_that_still_grows_is_said(seed: int) -> None:
    """A step that takes as long for 512 rows as for one has not come near its peak: n½ lies beyond, wherever it is."""
    document = simulation.simulate([Device("cupy", 2e-4, 1e-12)], batches=[1, 8, 64, 512], seed=seed)
    found = analyse(document)
    assert found.knees["cupy"].grows and found.knees["cupy"].half_peak is None
    assert "the GPU is underused up to batch 512, the largest that was measured" in found.summary[1], found.summary
    assert "so n½ is larger" in report.knees(found)[0]
    whole = knee(measured(Device("cupy", 2e-4, 1e-6), seed))
    assert not whole.grows and whole.half_peak is not None


@pytest.mark.parametrize("seed", range(8))
def test_faster_throughout_means_at_every_batch_size(seed: int) -> None:
    """Of two backends that are equally fast, rarely one is so in every measurement."""
    document = simulation.simulate([Device("one", 2e-4, 1e-6), Device("other", 2e-4, 1e-6)], seed=seed)
    for crossing in analyse(document).crossings:
        pairs = zip(document.of(crossing.above), document.of(crossing.below), strict=True)
        faster = [above.step_seconds < below.step_seconds for above, below in pairs]
        assert crossing.batch is not None or crossing.throughout == all(faster)
        assert crossing.batch is not None or sum(faster) >= len(faster) / 2


def test_backends_without_a_common_batch_size_are_not_compared() -> None:
    one, other = (simulation.simulate([Device(name, 2e-4, 1e-6)], batches=sizes) for name, sizes in (
        ("one", [1, 2, 4]), ("other", [8, 16, 32])
    ))  # fmt: skip
    one.backends += other.backends
    one.benchmarks += other.benchmarks
    assert analyse(one).crossings == [] and analyse(one).summary


def test_durations_beside_each_other_have_one_unit() -> None:
    assert numbers.spread(5e-3, 4.9e-3, 12e-3).plain == "5,000 µs 4,900–12,000"
    assert numbers.spread(0.0123, 9e-4, 0.02).plain == "12.3 ms 0.9–20"


def test_stray_rounds_move_nothing() -> None:
    """One round in seven that takes ten times as long leaves the medians, and widens intervals little."""
    device = Device("made up", 1e-4, 1e-6, spread=0.01, stray=0)
    random = np.random.default_rng(0)
    rounds = [device.rounds(batch, 7, random) for batch in BATCHES]
    for values in rounds:
        values[3] *= 10
    found = knee(curve(BATCHES, rounds)).half_peak
    assert found is not None and found.value == pytest.approx(100, rel=0.05)
    assert found.high / found.low < 1.2


def test_share_above_one_is_a_fault() -> None:
    """Beyond 1.05 in the slower rounds too; within the noise it is none."""
    time_bound = TimeBound(operation="matmul", layer="", phase="", flops=1, bytes=1, compute=1.2, memory=0, launch=0)
    assert "peak rate" in Point(backend="", batch=1, rounds=[1.0, 1.01, 1.02], time_bounds=[time_bound]).fault
    assert not Point(backend="", batch=1, rounds=[0.9, 1.1, 1.3], time_bounds=[time_bound]).fault
    assert not Point(backend="", batch=1, rounds=[1.2, 1.2, 1.2], time_bounds=[time_bound]).fault


def test_memory_floor() -> None:
    """Bytes that are read, written, and changed in place, each at its own rate, at the size of the arrays."""
    streams = [
        Streams(bytes=1000, read=1000, write=500, update=2000),
        Streams(bytes=4000, read=10, write=10, update=10),
    ]
    peak_rates = PeakRates(streams=streams)
    assert memory_seconds(Cost("", "", "", 0, 600, 400), peak_rates) == pytest.approx(600 / 1000 + 400 / 500)
    adam = Cost("", "", "", 0, 1000, 750, in_place=True)  # p, m, v of 250 bytes each, and g
    assert memory_seconds(adam, peak_rates) == pytest.approx(250 / 1000 + 1500 / 2000)
    assert memory_seconds(Cost("", "", ""), peak_rates) == 0


def test_learning_rates() -> None:
    """SGD's rate saturates beyond the noise scale; Adam's has its peak there."""
    assert advice.learning_rate("SGD", 0.1, 10, 20, 1e6) == pytest.approx(0.2, rel=1e-4)
    assert advice.learning_rate("SGD", 0.1, 10**6, 10**8, 10) == pytest.approx(0.1, rel=1e-4)
    assert advice.learning_rate("Adam", 0.1, 10, 40, 1e6) == pytest.approx(0.2, rel=1e-3)
    for name in ("Momentum", "Nesterov"):  # SGD's, with velocities
        assert advice.learning_rate(name, 0.1, 10, 20, 1e6) == pytest.approx(0.2, rel=1e-4)
    rates = [advice.learning_rate("AdamW", 1e-3, 32, batch, 500) for batch in (125, 500, 2000)]
    assert rates[1] > rates[0] == pytest.approx(rates[2])
    assert advice.epochs(32, 512, 480, 10) == 19


def test_summary() -> None:
    """Three lines: what to use, why, and what it gains."""
    gpu, cpu = Device("cupy", 200e-6, 0.05e-6), Device("numba", 30e-6, 5e-6)
    document = simulation.simulate([gpu, cpu], noise=900, seed=2)
    found = analyse(document)
    assert found.best == "cupy" and found.advice[0].low < found.advice[0].best_batch < found.advice[0].high
    use, why, gain = found.summary
    assert use.startswith(f"(Simulated.) Use: batch size {found.advice[0].batch:,} on cupy, learning rate "), use
    assert why.startswith("Why: below batch ") and "the GPU is underused" in why and "Above batch 900" in why, why
    ratio = found.advice[1].cost / found.advice[0].cost
    assert f"{ratio:.2g} times as fast as numba" in gain and "numba has faster steps below batch 34" in gain, gain
    assert f"Gain: {found.advice[0].gain:.2g} times as fast to the same training loss as batch 32" in gain, gain
    roof = simulation.simulate([Roof(5e-6, 2e12, 4e13)], noise=900)
    assert "a step spends 78% of its time" in (text := analyse(roof).summary[1]) and "on calls from Python" in text, (
        text
    )


def test_summary_without_a_noise_scale() -> None:
    """The fastest backend, and why no batch size is advised."""
    document = simulation.simulate([Device("cupy", 200e-6, 0.05e-6), Device("numba", 30e-6, 5e-6)])
    document.noise_absent = "the noise scale can only be measured for models of Linear layers"
    use, why, gain = analyse(document).summary
    assert "Use: cupy, the fastest backend here (1" in use and document.noise_absent in use, use
    assert "below batch" in why and "critical" not in why and gain.startswith("Gain: batch 65,536 has "), (why, gain)
    short = simulation.simulate([Device("numba", 30e-6, 5e-6)], batches=[8])
    assert analyse(short).summary == [
        "(Simulated.) No advice: too little was measured. It needs at least two batch sizes."
    ]


def test_a_bound_is_named_only_if_it_explains_the_step() -> None:
    """A step of which the bounds explain a tenth is limited by none of them."""
    same = {"layer": "", "phase": "", "flops": 1, "bytes": 1, "memory": 0.1, "launch": 0.0}
    time_bounds = [TimeBound(operation="matmul", compute=1.0, **same)]
    limits = [Point(backend="", batch=1, rounds=[took], time_bounds=time_bounds).limit for took in (1.0, 1.9, 2.1, 9.0)]
    assert limits == ["compute", "compute", "other", "other"]
    assert Point(backend="", batch=1, rounds=[1.0]).limit is None


def test_what_a_bound_lies_in_is_named() -> None:
    """An update's arithmetic is another matter than that of products: it is the same for any batch size."""
    same = {"layer": "", "phase": "", "flops": 1, "bytes": 1, "memory": 0.1, "launch": 0.0}
    time_bounds = [TimeBound(operation="adam", compute=5, **same), TimeBound(operation="matmul", compute=2, **same)]
    point = Point(backend="", batch=1, rounds=[8.0], time_bounds=time_bounds)
    assert point.bound == "compute" and most_bound(point) == "adam"
    time_bounds += [TimeBound(operation="gather", compute=4, **same)]
    assert most_bound(Point(backend="", batch=1, rounds=[8.0], time_bounds=time_bounds)) == ""
    waiting = TimeBound(operation="adam", layer="", phase="", flops=1, bytes=1, compute=0, memory=0, launch=1)
    assert most_bound(Point(backend="", batch=1, rounds=[8.0], time_bounds=[waiting])) == ""


def test_numbers_as_people_say_them() -> None:
    """Two digits."""
    assert [two_digits(n) for n in (0.4, 7.4, 99.4, 382, 1934, 65536)] == ["1", "7", "99", "380", "1,900", "66,000"]
