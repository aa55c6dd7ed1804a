"""Files are replaced whole or not at all: real failing writes, real kills."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gearshift.dl.storage import load_tensors, write_atomically

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals, limits and users")


def names(directory: Path) -> set[str]:
    return {entry.name for entry in directory.iterdir()}


def script(text: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)]


@contextmanager
def file_size_limit(size: int):
    """Writes past `size` bytes fail for real: Python ignores SIGXFSZ, so write() answers EFBIG."""
    resource = pytest.importorskip("resource")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@contextmanager
def no_privileges():
    """Root passes every permission check: be somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    "data", [b"abc", bytearray(b"abc"), memoryview(b"abc"), [b"a", memoryview(b"bc")], iter([b"", b"abc"])]
)
def test_writes_and_replaces(tmp_path: Path, data) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old and longer")
    write_atomically(target, data)
    assert target.read_bytes() == b"abc"
    assert names(tmp_path) == {"file"}


def test_takes_a_string_and_an_empty_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomically("file", [])
    assert Path("file").read_bytes() == b""


@posix
def test_the_mode_follows_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@posix
@pytest.mark.parametrize("parts", [1, 64])
def test_a_failing_write_leaves_the_old_file(tmp_path: Path, parts: int) -> None:
    target = tmp_path / "file"
    write_atomically(target, b"old")
    with file_size_limit(100_000), pytest.raises(OSError, match="writing failed") as caught:
        write_atomically(target, [b"x" * (1_000_000 // parts)] * parts)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(target)
    assert str(target) in str(caught.value)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == {"file"}


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """A file system of 64 KiB, mounted in a namespace of its own that ends with the subprocess."""
    enter = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64k none "$0" && exec "$@"']
    if subprocess.run([*enter, tmp_path, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no permission to mount a tmpfs")
    program = """
        import errno, os, sys
        from gearshift.dl.storage import write_atomically
        target = sys.argv[1] + "/file"
        write_atomically(target, b"old")
        try:
            write_atomically(target, b"x" * 100_000)
        except OSError as error:
            assert error.errno == errno.ENOSPC and target in str(error), error
        else:
            raise AssertionError("the disk was not full")
        assert open(target).read() == "old"
        assert os.listdir(sys.argv[1]) == ["file"]
        write_atomically(target, b"x" * 40_000)  # there is room again
    """
    done = subprocess.run([*enter, tmp_path, *script(program, tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_failing_rename_names_the_target(tmp_path: Path) -> None:
    target = tmp_path / "directory"
    target.mkdir()
    with pytest.raises(OSError, match="renaming failed") as caught:
        write_atomically(target, b"x")
    assert caught.value.filename == str(target)
    assert names(tmp_path) == {"directory"}


@posix
@pytest.mark.parametrize(("sync", "step", "content"), [(1, "syncing failed", b"old"), (2, "syncing its dir", b"new")])
def test_a_failing_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: int, step: str, content: bytes) -> None:
    """The disk fails at the n-th fsync: first the file's, then the directory's."""
    target = tmp_path / "file"
    write_atomically(target, b"old")
    real, calls = os.fsync, []

    def failing(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == sync:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match=step) as caught:
        write_atomically(target, b"new")
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(target))
    assert target.read_bytes() == content
    assert names(tmp_path) == {"file"}


def test_a_missing_directory_names_the_target(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "file"
    with pytest.raises(FileNotFoundError, match="there is no such folder") as caught:
        write_atomically(target, b"x")
    assert caught.value.filename == str(target)


@posix
def test_a_directory_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o555)
    with no_privileges(), pytest.raises(PermissionError) as caught:
        write_atomically("file", b"x")
    assert caught.value.filename == "file"


@posix
def test_a_directory_that_cannot_be_listed_or_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o333)
    with no_privileges():
        write_atomically("file", b"x")
    tmp_path.chmod(0o755)
    assert (tmp_path / "file").read_bytes() == b"x"


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError])
def test_an_interrupt_or_a_faulty_source_leaves_the_old_file(tmp_path: Path, fault: type[BaseException]) -> None:
    def parts():
        yield b"x"
        raise fault

    target = tmp_path / "file"
    write_atomically(target, b"old")
    with pytest.raises(fault):
        write_atomically(target, parts())
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == {"file"}


def test_leftovers_of_the_same_target_only_are_removed(tmp_path: Path) -> None:
    token = "0123456789abcdef"
    mine = f".a.{token}.tmp"
    spared = {f".a.b.{token}.tmp", f".xa.{token}.tmp", ".a.0123.tmp", ".a.tmp", f"a.{token}.tmp", f".A.{token}.tmp.x"}
    for name in {mine} | spared:
        (tmp_path / name).touch()
    write_atomically(tmp_path / "a", b"x")
    assert names(tmp_path) == spared | {"a"}


@posix
def test_a_symbolic_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"old")
    (tmp_path / "link").symlink_to("other")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "other").read_bytes() == b"old"
    assert not (tmp_path / "link").is_symlink()


@posix
def test_killed_before_any_file_operation(tmp_path: Path) -> None:
    """A child is killed at its n-th file operation, for n = 1, 2, …, until one passes clean."""
    program = """
        import os, signal, sys, warnings
        from gearshift.dl.storage import write_atomically
        target = sys.argv[1]
        state = {"at": 0, "left": -1}

        def operation(*_):  # Python's audit events come just before open, scandir, rename and remove
            state["left"] -= 1
            if state["left"] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def audit(event, arguments):
            if event in ("open", "os.scandir", "os.rename", "os.remove"):
                operation()

        def parts():
            for _ in range(3):
                operation()
                yield b"new " * 50_000

        write_atomically(target, b"old")
        for n in range(1, 100):
            child = os.fork()
            if child == 0:
                state["left"] = n
                sys.addaudithook(audit)
                write_atomically(target, parts())
                os._exit(0)
            _, status = os.waitpid(child, 0)
            content = open(target, "rb").read()
            print(n, status, content == b"old", content == b"new " * 150_000, flush=True)
            if status == 0:
                break
    """
    done = subprocess.run(script(program, tmp_path / "file"), capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    *killed, last = rows
    assert len(killed) >= 6  # scandir, open, three parts, rename, and the directory
    assert all(status == str(int(signal.SIGKILL)) for _, status, _, _ in killed)
    assert last[1:] == ["0", "False", "True"]
    assert all((old, new) in {("True", "False"), ("False", "True")} for _, _, old, new in rows)
    assert killed[-2][2] == "True"  # before the rename the old file, after it the new one
    assert killed[-1][3] == "True"
    assert names(tmp_path) == {"file"}


@posix
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """A process saves version after version and is killed, 20 times: the file always is one whole version."""
    program = """
        import os, sys, numpy as np
        from gearshift.dl.storage import load_tensors, save_tensors
        target = sys.argv[1]
        for _ in range(20):
            child = os.fork()
            if child == 0:
                version = int(load_tensors(target)[1]["version"]) if os.path.exists(target) else 0
                while True:
                    version += 1
                    arrays = {name: np.full(250_000 + version, version, np.float32) for name in "abcd"}
                    save_tensors(target, arrays, {"version": str(version)})
                    os.write(1, f"{version}\\n".encode())  # whole, or not at all
            print("child", child, flush=True)
            os.waitpid(child, 0)
            print("dead", flush=True)
    """
    target = tmp_path / "file"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        script(program, target), stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    assert process.stdout is not None
    child = kills = saved = 0
    try:
        for line in process.stdout:
            if line.startswith("child"):
                child = int(line.split()[1])
            elif line == "dead\n":
                tensors, metadata = load_tensors(target)
                version = int(metadata["version"])
                assert version >= saved  # what was reported saved is not lost
                assert set(tensors) == set("abcd")
                assert all(len(array) == 250_000 + version and (array == version).all() for array in tensors.values())
                saved, kills = version, kills + 1
            else:
                saved = int(line)
                if child:
                    time.sleep(kills * 0.001)  # sweeps over the next save
                    os.kill(child, signal.SIGKILL)
                    child = 0
        assert process.wait() == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert kills == 20
    write_atomically(target, b"")
    assert names(tmp_path) == {"file"}


@posix
def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    """By its name, and by a link to it; both are there afterwards."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("pipe")
    for path in (pipe, link):
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        write_atomically(path, [b"one", b"two"])
        assert os.read(reader, 100) == b"onetwo"
        os.close(reader)
    assert pipe.is_fifo() and link.is_symlink() and names(tmp_path) == {"pipe", "link"}


@posix
def test_a_device_stays_a_device(tmp_path: Path) -> None:
    null, full = tmp_path / "null", tmp_path / "full"
    try:
        for path, minor in ((null, 3), (full, 7)):
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        write_atomically(null, b"x")
    except PermissionError:
        pytest.skip("only root can make devices, and not everywhere")
    with pytest.raises(OSError, match="writing into it failed") as caught:
        write_atomically(full, b"x" * 100_000)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(full)
    assert null.is_char_device() and full.is_char_device()


@posix
@pytest.mark.parametrize("kind", ["file", "pipe"])
@pytest.mark.parametrize("name", ["/proc/self/fd/1", "/dev/fd/1", "link"])
def test_standard_output_is_written_through_its_descriptor(tmp_path: Path, kind: str, name: str) -> None:
    """Also where it is a regular file: what is printed before and after is there, in its order."""
    program = """
        import sys
        from gearshift.dl.storage import write_atomically
        print("before")
        write_atomically(sys.argv[1], b"data\\n")
        print("after")
    """
    link = tmp_path / "link"
    link.symlink_to("/dev/stdout")
    command = script(program, link if name == "link" else name)
    if kind == "pipe":
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    else:
        with (tmp_path / "out").open("wb") as out:
            subprocess.run(command, stdout=out, check=True)
        said = (tmp_path / "out").read_text()
    assert said == "before\ndata\nafter\n"
    assert link.is_symlink() and names(tmp_path) <= {"link", "out"}
