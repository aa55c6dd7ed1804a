"""The house: imports run one way, and the package is imported once under one name."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import gearshift

ROOT = Path(str(gearshift.__file__)).parent
ORDER = ("backends", "kernels", "dl", "bench")


def test_imports_run_one_way() -> None:
    """No folder imports from one that comes after it in bench → dl → kernels → backends."""
    for position, folder in enumerate(ORDER):
        above = "|".join(ORDER[position + 1 :])
        for source in (ROOT / folder).rglob("*.py"):
            if above and "suites" not in source.parts:
                found = re.search(rf"from \.\.+({above})\b|from gearshift\.({above})", source.read_text())
                assert found is None, f"{source} imports upwards: {found}"


def test_package_is_imported_once() -> None:
    """No module of the package is loaded a second time under another name."""
    import gearshift.kernels.updates.adam

    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    assert files.count(gearshift.kernels.updates.adam.__file__) == 1


def test_package_data_are_listed() -> None:
    """Every folder with modules is a package of the wheel, and CUDA texts are packed."""
    text = (ROOT / "pyproject.toml").read_text() if (ROOT / "pyproject.toml").exists() else ""
    for init in ROOT.glob("*/**/__init__.py"):
        if not {"build", "tests"} & set(init.relative_to(ROOT).parts) and ".venv" not in str(init):
            name = ".".join(("gearshift", *init.parent.relative_to(ROOT).parts))
            assert not text or f'"{name}"' in text
    assert '"*.cu", "*.cuh"' in text or not text
    assert '"*.pyi"' in text or not text  # the public names, which are read at run time
