"""How large a proof is: on a GPU, in a few minutes on a GPU, and in a rehearsal on the CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Scale:
    """Sizes of the proof.

    Parameters
    ----------
    kernels : rows and columns that every kernel is run at.
    products : rows, inputs and outputs of the products compared with float64.
    epochs : epochs of the training curves.
    copy : bytes of the array whose copying is timed.
    peak : rows and columns of the square products whose rate counts as the peak.
    parameters : of the optimizer's largest arena.
    matrix : rows and columns of activations whose kernels are timed.
    networks, batch_sizes : of the steps that are timed.
    epochs_of : networks whose epochs are timed, and the rows of these.
    wide, wide_batches : a network and its batch sizes that are compared in bfloat16 too.
    seconds, rounds : the least time of one measurement, and how many there are.
    plans : how many plans are made and forgotten.
    swept, rows, sweep : networks that `gearshift bench` sweeps, on so many rows, and its seconds for each.
    """

    kernels: tuple[tuple[int, int], ...]
    products: tuple[tuple[int, int, int], ...]
    epochs: int
    copy: int
    peak: int
    parameters: int
    matrix: tuple[int, int]
    networks: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    epochs_of: tuple[tuple[str, int], ...]
    wide: str
    wide_batches: tuple[int, ...]
    seconds: float
    rounds: int
    plans: int
    swept: tuple[str, ...]
    rows: int
    sweep: float


FULL = Scale(
    kernels=((0, 5), (1, 1), (5, 7), (33, 64), (1000, 31), (4096, 512), (70_001, 10)),
    products=((1, 784, 512), (7, 33, 10), (128, 784, 512), (2048, 512, 512), (4096, 1024, 1024)),
    epochs=3,
    copy=1 << 30,
    peak=8192,
    parameters=100_000_000,
    matrix=(65_536, 512),
    networks=(
        "784-128-10",
        "784-512-512-10",
        "784-1000-500-100-10",
        "autoencoder 784-128-32-128-784",
        "4096-4096-4096-10",
    ),
    batch_sizes=(1, 8, 32, 128, 512, 2048, 8192, 65_536),
    epochs_of=(
        ("784-100-10", 53_888),
        ("784-512-512-10", 19_200),
        ("784-1000-500-100-10", 19_200),
        ("autoencoder 784-128-32-128-784", 19_200),
    ),
    wide="4096-4096-4096-10",
    wide_batches=(8192, 2048, 512),
    seconds=0.05,
    rounds=7,
    plans=1000,
    swept=("784-512-512-10", "4096-4096-4096-10"),
    rows=65_536,
    sweep=90.0,
)

BRIEF = replace(
    FULL,
    kernels=((0, 5), (5, 7), (33, 64), (1000, 31)),
    products=((1, 784, 512), (7, 33, 10), (2048, 512, 512)),
    epochs=2,
    networks=("784-512-512-10", "784-1000-500-100-10"),
    batch_sizes=(32, 512, 8192),
    epochs_of=(("784-512-512-10", 19_200), ("784-1000-500-100-10", 19_200)),
    wide_batches=(8192,),
    seconds=0.02,
    rounds=5,
    plans=200,
    swept=("784-512-512-10",),
    sweep=45.0,
)
"""For a GPU that is lent for some minutes: what tells least is left out."""

SMALL = Scale(
    kernels=((0, 5), (5, 7)),
    products=((7, 33, 10),),
    epochs=1,
    copy=1 << 16,
    peak=32,
    parameters=5000,
    matrix=(64, 32),
    networks=("12-8-4",),
    batch_sizes=(1, 8),
    epochs_of=(("12-8-4", 256),),
    wide="12-8-4",
    wide_batches=(8,),
    seconds=0.0,
    rounds=1,
    plans=5,
    swept=("12-8-4",),
    rows=256,
    sweep=1.0,
)
"""For a rehearsal: everything runs, and no time means anything."""
