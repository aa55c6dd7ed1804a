"""Environment variables that hold all contenders to one instruction set, as on a processor that has no more."""

from __future__ import annotations

from ...backends.errors import ConfigurationError

ISAS = ("native", "avx2")
FEATURES = (
    *("64bit", "avx", "avx2", "bmi", "bmi2", "cmov", "cx16", "cx8", "f16c", "fma", "fxsr", "lzcnt", "mmx", "movbe"),
    *("pclmul", "popcnt", "sahf", "sse", "sse2", "sse3", "sse4.1", "sse4.2", "ssse3", "xsave", "xsaveopt"),
)
"""Of an Intel Haswell, by LLVM's names."""
AVX2 = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": ",".join(f"+{name}" for name in FEATURES),
    "GEARSHIFT_MATRIX_UNIT": "off",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}
"""Variables of Numba, OpenBLAS, NumPy, PyTorch, oneDNN, MKL and XLA."""


def environment(isa: str) -> dict[str, str]:
    """The variables for `isa`, one of `ISAS`.

    Raises
    ------
    ConfigurationError
        The name is not known.
    """
    if isa not in ISAS:
        raise ConfigurationError(f"--isa {isa!r} is not known; expected one of: {', '.join(ISAS)}")
    return AVX2 if isa == "avx2" else {}
