"""The forecast of how many devices pay, against simulated devices whose truth is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import simulation
from simulation import BATCHES, Device

from gearshift.backends.errors import ConfigurationError
from gearshift.bench.batch.analysis.curve import Curve, curve
from gearshift.bench.batch.analysis.scaling import Cluster, Link, of_document, scaling, separated
from gearshift.bench.batch.options import parse_network, parse_workers
from gearshift.bench.batch.records import SeparatedStep, Workers
from gearshift.bench.batch.show import report, scaling_report

FREE = Link(0.0, 1e18)
MANY = 2**24


def exact(device: Device) -> Curve:
    """The true curve of a device."""
    batches = np.array(BATCHES, float)
    return Curve(batches, device.t0 + device.ts * batches, np.zeros(len(batches)))


def cluster(device: Device, critical: float, network: Link = FREE, size: float = 4e6, rows: int = MANY) -> Cluster:
    measured = exact(device)
    return Cluster(measured, measured, critical, network, size, rows)


def test_the_all_reduce_of_two_and_of_many() -> None:
    """Of two: two messages of latency, and each byte once. Of many, each byte twice."""
    network = Link(10e-6, 1e9)
    assert network.allreduce(1e6, 1) == 0
    assert network.allreduce(1e6, 2) == pytest.approx(2 * 10e-6 + 1e-3)
    assert network.allreduce(1e6, 1024) == pytest.approx(20 * 10e-6 + 2e-3, rel=1e-3)


@pytest.mark.parametrize("critical", [20, 300])
def test_noise_alone(critical: float) -> None:
    """A device without overhead takes single rows: T(n) = ts (n + B) / n, so 2n saves a tenth up to n = 4 B."""
    found = scaling(cluster(Device("made up", 1e-12, 1e-6), critical), [1, 2, 4, MANY // 4])
    assert found.worthwhile == pytest.approx(4 * critical, rel=0.05) and found.causes == ["noise"]
    assert [found.speedup(p) for p in found.points[:3]] == pytest.approx(
        [n * (1 + critical) / (n + critical) for n in (1, 2, 4)], rel=0.01
    )


@pytest.mark.parametrize(("critical", "half"), [(2000, 20), (500, 100)])
def test_overhead_of_a_step(critical: float, half: float) -> None:
    """T(n) = (√t0 + √(B ts / n))²; twice the devices save a tenth up to n = 22 B / n½; noise and filling lose alike."""
    device = Device("made up", half * 1e-6, 1e-6)
    found = scaling(cluster(device, critical), [2**power for power in range(14)])

    def truth(devices: int) -> float:
        return (math.sqrt(device.t0) + math.sqrt(critical * device.ts / devices)) ** 2

    for point in found.points:
        if math.sqrt(critical * half / point.devices) > 1:  # the best share has more than a row
            assert point.cost == pytest.approx(truth(point.devices), rel=0.02)
    x = (1 - math.sqrt(0.9)) / (math.sqrt(0.9) - math.sqrt(0.5))
    assert found.worthwhile == pytest.approx(critical / half / x**2, rel=0.15)
    assert set(found.causes) == {"noise", "device"}


def test_a_slow_network() -> None:
    """The whole data set is the best batch: T(n) = rows ts / n + a(n) until the all-reduce takes most of it."""
    device, network, size, rows = Device("made up", 1e-12, 1e-6), Link(1e-9, 1e9), 4e6, 10_000
    found = scaling(cluster(device, 1e9, network, size, rows), [1, 2, 4, 1024])
    truth = next(n for n in range(1, 99) if step(2 * n, size, rows) > 0.9 * step(n, size, rows))
    assert found.worthwhile == pytest.approx(truth, abs=1) and found.causes == ["network"]


def step(devices: int, size: float, rows: int) -> float:
    """Seconds of a step on all rows of that network."""
    return rows * 1e-6 / devices + (2 * (devices - 1) / devices * size / 1e9 if devices > 1 else 0)


def test_one_device_may_be_enough_and_more_than_asked_may_pay() -> None:
    slow = scaling(cluster(Device("made up", 1e-4, 1e-6), 50, Link(1.0, 1e3)), [1, 2, 64])
    assert slow.worthwhile == 1 and slow.causes[0] == "network"
    assert scaling(cluster(Device("made up", 1e-12, 1e-6), 1e6), [1, 2, 64]).worthwhile is None


def test_fewer_rows_than_devices_are_left_out() -> None:
    found = scaling(cluster(Device("made up", 1e-12, 1e-6), 1e6, rows=100), [1, 64, 128, 1024])
    assert [point.devices for point in found.points] == [1, 64] and found.worthwhile == 51


def test_steps_that_wait_are_no_reason_to_stop_at_one() -> None:
    """Two devices whose steps take twice as long save nothing; sixteen do."""
    device = Device("made up", 1e-12, 1e-6)
    one = exact(device)
    several = separated(one, [1, 65536], [2e-6, 0.131072])
    assert several.seconds == pytest.approx(2 * one.seconds, rel=0.01)
    found = scaling(Cluster(one, several, 100, FREE, 4e6, MANY), [1, 2, 16])
    assert found.worthwhile is None and found.points[1].waiting == pytest.approx(2, rel=0.01)
    assert found.points[1].cost == pytest.approx(found.points[0].cost, rel=0.05)


def test_noisy_measurements_lead_to_the_same_times() -> None:
    """Within 5 % in nine of ten of 100 trials, for devices of all kinds."""
    random, errors = np.random.default_rng(3), []
    for _ in range(100):
        device = Device("made up", 10 ** random.uniform(-5, -3), 10 ** random.uniform(-7, -5))
        network, critical = (
            Link(10 ** random.uniform(-6, -4), 10 ** random.uniform(9, 10.5)),
            10 ** random.uniform(1, 4),
        )
        true = cluster(device, critical, network)
        measured = curve(BATCHES, [device.rounds(batch, 7, random) for batch in BATCHES])
        seen = Cluster(measured, measured, critical, network, true.size, MANY)
        errors += [abs(seen.forecast(n).cost / true.forecast(n).cost - 1) for n in (1, 2, 32, 1024)]
    assert np.quantile(errors, 0.9) < 0.05


def test_a_document_has_a_section() -> None:
    document = simulation.simulate([Device("cpu", 5e-5, 5e-6)], noise=500)
    assert of_document(document) is None
    document.workers = Workers(
        backend="cpu",
        workers=[1, 2, 8],
        bytes=2_680_000,
        latency=25e-6,
        bytes_per_second=1.25e10,
        measured=False,
        steps=[SeparatedStep(batch=1, seconds=6e-5), SeparatedStep(batch=4096, seconds=0.025)],
    )
    found = of_document(document)
    assert found is not None and [point.devices for point in found.points] == [1, 2, 8]
    said = scaling_report.lines(found, document.workers)
    assert "network: 25 µs and 12.5 GB/s, as given; gradients: 2.68 MB a step" in said[1]
    assert scaling_report.table(found).row_count == 3
    assert report.render(document, report.analyse(document))


@pytest.mark.parametrize(
    ("text", "latency", "rate"),
    [("25us,100Gbit", 25e-6, 1.25e10), ("1.5 ms, 2 GB/s", 1.5e-3, 2e9), ("5µs,40Gbit/s", 5e-6, 5e9)],
)
def test_networks(text: str, latency: float, rate: float) -> None:
    found = parse_network(text)
    assert (found.latency, found.rate) == pytest.approx((latency, rate))


@pytest.mark.parametrize(
    ("workers", "network", "noise", "said"),
    [
        ("0", "1us,1GB", True, "--workers '0': '0' is not valid"),
        ("1:x", "1us,1GB", True, "is not valid; expected integers from 1"),
        ("1:8", "fast", True, "--network 'fast' is not valid; expected a latency and a rate"),
        ("1:8", "1us,0GB", True, "is not valid"),
        (None, "1us,1GB", True, "belongs to --workers"),
        ("1:8", "1us,1GB", False, "cannot be used with --no-noise"),
    ],
)
def test_mistakes(workers: str | None, network: str, noise: bool, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse_workers(workers, network, noise)


def test_numbers_of_devices() -> None:
    assert parse_workers("2:9,6", "1us,1GB", True)[0] == (1, 2, 4, 6, 8)
    assert parse_workers(None, None, False) == ((), None)
