"""Environment variables that hold contenders to one instruction set, as on a CPU that has no more."""

from __future__ import annotations

from typing import NamedTuple

from ...backends.errors import ConfigurationError

SSE4 = "64bit cmov cx16 cx8 fxsr mmx popcnt sahf sse sse2 sse3 sse4.1 sse4.2 ssse3"
AVX = f"{SSE4} avx f16c pclmul xsave xsaveopt"
AVX2 = f"{AVX} avx2 bmi bmi2 fma lzcnt movbe"
AVX512 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4"


class InstructionSet(NamedTuple):
    """What the libraries call an instruction set.

    Attributes
    ----------
    cpu, features : of a CPU that has no more, by LLVM's names; for Numba.
    openblas : that CPU, by OpenBLAS's name.
    not_in_numpy : what NumPy must not use, by the names of its versions.
    torch, onednn, mkl : its names in these libraries.
    """

    cpu: str
    features: str
    openblas: str
    not_in_numpy: str
    torch: str
    onednn: str
    mkl: str


HELD = {
    "avx2": InstructionSet("haswell", AVX2, "Haswell", AVX512, "avx2", "AVX2", "AVX2"),
    "avx": InstructionSet("ivybridge", AVX, "Sandybridge", f"{AVX512} AVX2 FMA3 X86_V3", "default", "AVX", "AVX"),
    "sse4": InstructionSet("nehalem", SSE4, "Nehalem", f"{AVX512} AVX2 FMA3 X86_V3", "default", "SSE41", "SSE4_2"),
}
ISAS = ("native", *HELD)
FREE = ("jax", "jax scan")
"""Contenders that cannot be held: products of JAX 0.10 (YNNPACK) use AVX-512 whatever XLA's `xla_cpu_max_isa` is."""


def environment(isa: str) -> dict[str, str]:
    """The variables of Numba, OpenBLAS, NumPy, PyTorch, oneDNN and MKL for `isa`, one of `ISAS`.

    Raises
    ------
    ConfigurationError
        The name is not known.
    """
    if isa not in ISAS:
        raise ConfigurationError(f"--isa {isa!r} is not known; expected one of: {', '.join(ISAS)}")
    if isa == "native":
        return {}
    held = HELD[isa]
    return {
        "NUMBA_CPU_NAME": held.cpu,
        "NUMBA_CPU_FEATURES": ",".join(f"+{name}" for name in held.features.split()),
        "GEARSHIFT_MATRIX_UNIT": "off",
        "OPENBLAS_CORETYPE": held.openblas,
        "NPY_DISABLE_CPU_FEATURES": held.not_in_numpy,
        "ATEN_CPU_CAPABILITY": held.torch,
        "ONEDNN_MAX_CPU_ISA": held.onednn,
        "MKL_ENABLE_INSTRUCTIONS": held.mkl,
    }
