"""Compiles the stand-in libraries, and kernels' texts for the host; results are kept by what they are made of."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

from platformdirs import user_cache_path

LIBRARIES = Path(__file__).with_name("libraries")
BESIDE = Path(__file__).parent.parent / "kernels"  # cuda_on_cpu.hpp, and the modules that are shared with those tests
BARRIERS = ("__syncthreads", "__syncwarp", "__shfl_")
KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(')
SHARED = ["-fPIC", "-fvisibility=hidden", "-w"]
STRICT = ["-fsanitize=alignment", "-fsanitize-undefined-trap-on-error"]  # a misaligned access is a trap
EXPORT = 'extern "C" __attribute__((visibility("default")))'
REFUSED = 6  # NVRTC_ERROR_COMPILATION
EMPTY = "nothing"  # the binary of an empty text, by which CuPy tells versions of the compiler apart


def beside(name: str) -> ModuleType:
    """A module of tests/kernels, which may not be importable in this process."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, BESIDE / f"{name}.py")
        assert spec and spec.loader
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


def cache() -> Path:
    """The folder of everything that is compiled."""
    folder = Path(os.environ.get("GEARSHIFT_CACHE_DIR") or user_cache_path("gearshift")) / "cuda_stand_in"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def key(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def command() -> list[str]:
    """The C++ compiler."""
    found = beside("cuda_on_cpu").compiler()
    if found is None:
        raise RuntimeError("no C++ compiler: pip install ziglang")
    return found


def outside(**more: str) -> dict[str, str]:
    """The environment of a process without stand-ins: a compiler in Python would else start compilers without end."""
    hidden = ("GEARSHIFT_CUDA_STAND_IN", "PYTHONPATH")
    return {**{name: value for name, value in os.environ.items() if name not in hidden}, **more}


def start(target: Path, arguments: Sequence[str], text: str = "") -> subprocess.Popen[str]:
    """A compiler that writes beside `target`; `finished` moves the result there."""
    fresh = target.with_suffix(f".{os.getpid()}{target.suffix}")
    call = [*command(), *arguments, "-o", str(fresh)]
    if text:
        source = target.with_suffix(f".{os.getpid()}.cpp")
        source.write_text(text)
        call.append(str(source))
    return subprocess.Popen(call, env=outside(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(compiling: subprocess.Popen[str], target: Path) -> str:
    """What the compiler says where it fails; empty where `target` is there."""
    said, _ = compiling.communicate()
    target.with_suffix(f".{os.getpid()}.cpp").unlink(missing_ok=True)
    if compiling.returncode:
        return said or f"the compiler ended with {compiling.returncode}"
    target.with_suffix(f".{os.getpid()}{target.suffix}").replace(target)
    return ""


def library(headers: Path) -> Path:
    """The stand-in itself, compiled: one object per source, all at once."""
    sources = sorted(LIBRARIES.glob("*.cpp"))
    made_of = [path.read_text() for path in sorted(LIBRARIES.glob("*.?pp"))]
    folder = cache() / key(command(), SHARED, made_of)
    target = folder / "libcuda_stand_in.so"
    if target.exists():
        return target
    folder.mkdir(exist_ok=True)
    objects = [folder / f"{source.stem}.o" for source in sources]
    options = ["-std=c++17", *SHARED, "-O2", f"-I{LIBRARIES / 'include'}", f"-I{headers}"]

    def compiled(source: Path, target: Path) -> str:
        return finished(start(target, [*options, "-c", str(source)]), target)

    with ThreadPoolExecutor(2) as pool:
        said = [*pool.map(compiled, sources, objects)]
    if not any(said):
        said = [finished(start(target, ["-shared", "-Wl,-soname," + target.name, *map(str, objects)]), target)]
    if any(said):
        raise RuntimeError("the stand-in libraries do not compile:\n" + "\n".join(said))
    return target


def alias(name: str, core: Path, missing: Sequence[str]) -> Path:
    """A library of this name with the stand-in's functions; those that are `missing` there answer: not supported."""
    target = core.parent / key(missing) / name
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        body = "".join(
            f'extern "C" __attribute__((visibility("default"))) int {f}() {{ return 15; }}\n' for f in missing
        )
        link = ["-shared", *SHARED, f"-Wl,-soname,{name}", "-Wl,--no-as-needed", str(core)]
        source = target.parent / f"{name}.{os.getpid()}.cpp"
        source.write_text(body)
        said = finished(start(target, [str(source), *link]), target)
        source.unlink()
        if said:
            raise RuntimeError(f"{name} does not link:\n{said}")
    return target


def kernel(source: str, options: Sequence[str]) -> tuple[int, str]:
    """Compiles a kernel's text: 0 and where the library is, or NVRTC's number for an error and the compiler's words.

    NVIDIA's own compiler, where it is installed, must accept the text with CuPy's own options.
    """
    if not source.strip():
        return 0, EMPTY
    kept = [option for option in options if option.startswith(("-D", "-I"))]
    entries = "".join(f"ENTRY({name})\n" for name in KERNEL.findall(source))
    text = f'#include "kernel.hpp"\n{source}\n#line 1 "entries"\n{entries}'
    # C++14: with C++17, <cmath> takes more than twice as long to compile
    flags = ["-std=c++14", *SHARED, "-shared", "-O1", "-ffp-contract=off", *STRICT]
    flags += [f"-I{LIBRARIES / 'include'}", f"-I{LIBRARIES}", f"-I{BESIDE}", *kept]
    if any(word in source for word in BARRIERS):
        flags.append("-DWITH_BARRIERS")
    headers = [path.read_text() for path in (LIBRARIES / "kernel.hpp", BESIDE / "cuda_on_cpu.hpp")]
    target = cache() / f"{key(command(), flags, headers, text)}.so"
    accepted = cache() / f"{key(options, source)}.nvrtc"
    compiling = None if target.exists() else start(target, flags, text)
    said = "" if accepted.exists() else refusal(source, options)  # while the other compiler runs
    wrong = finished(compiling, target) if compiling else ""
    if said:
        return REFUSED, f"NVRTC refuses this text:\n{said}"
    accepted.touch()
    return (REFUSED, f"the host's compiler refuses this text:\n{wrong}") if wrong else (0, str(target))


NVRTC = """
import json, sys, nvrtc
if nvrtc.load() is not None:
    source, options = json.load(sys.stdin)
    binary, log = nvrtc.compile_cubin(source, options, "CUBIN" if any("sm_" in o for o in options) else "PTX")
    print("" if binary else log)
"""


def refusal(source: str, options: Sequence[str]) -> str:
    """What NVRTC says against a text, in a process without stand-ins; empty where it accepts it or is not installed."""
    done = subprocess.run(
        [sys.executable, "-c", NVRTC],
        input=json.dumps([source, list(options)]),
        env=outside(PYTHONPATH=str(BESIDE)),
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() if not done.returncode else done.stderr


def environment() -> Mapping[str, str]:
    """What processes of the stand-in are given: CuPy's own caches lie with it, for they name its files."""
    return {"CUPY_CACHE_DIR": str(cache() / "cupy"), "CUPY_ACCELERATORS": ""}
