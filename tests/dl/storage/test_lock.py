"""A run directory has one writer, and a dead one does not block."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gearshift.backends.errors import RunLocked
from gearshift.dl.storage.lock import RunLock

HOLDER = """
import sys, time
from gearshift.dl.storage.lock import RunLock
with RunLock(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.read()
"""


def holder(directory: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(directory)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def test_makes_the_directory_and_leaves_no_owner(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    with RunLock(run) as lock:
        assert lock.directory == run
        assert (run / ".lock-owner").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"
    assert not (run / ".lock-owner").exists()
    with RunLock(run):
        pass


def test_a_second_lock_in_this_process_is_refused(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    with lock:
        for other in (RunLock(tmp_path), RunLock(str(tmp_path)), lock):
            with pytest.raises(RunLocked, match=f"process {os.getpid()} on"):
                other.__enter__()
        assert (tmp_path / ".lock-owner").exists()  # the failures took nothing from the holder
        with pytest.raises(RunLocked):
            RunLock(tmp_path).__enter__()
    with lock:
        pass


def test_two_directories_do_not_meet(tmp_path: Path) -> None:
    with RunLock(tmp_path / "a"), RunLock(tmp_path / "b"):
        pass


def test_another_process_is_named_and_its_end_frees_the_lock(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(RunLocked) as caught:
            RunLock(tmp_path).__enter__()
        for expected in (str(tmp_path), f"process {process.pid} on {socket.gethostname()}"):
            assert expected in str(caught.value)
        process.communicate("")
    with RunLock(tmp_path):
        pass


def test_a_killed_holder_does_not_block(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
    assert str(process.pid) in (tmp_path / ".lock-owner").read_text()  # stale, and ignored
    with RunLock(tmp_path):
        assert str(os.getpid()) in (tmp_path / ".lock-owner").read_text()


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunLock(tmp_path):
        raise ZeroDivisionError
    with RunLock(tmp_path):
        pass


def test_a_holder_without_a_name(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        (tmp_path / ".lock-owner").unlink()
        with pytest.raises(RunLocked, match="another process"):
            RunLock(tmp_path).__enter__()


def test_an_owner_that_cannot_be_written_frees_the_lock(tmp_path: Path) -> None:
    (tmp_path / ".lock-owner").mkdir()
    with pytest.raises(OSError, match=r"\.lock-owner"):
        RunLock(tmp_path).__enter__()
    (tmp_path / ".lock-owner").rmdir()
    with RunLock(tmp_path):
        pass


def test_a_file_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="file"):
        RunLock(tmp_path / "file").__enter__()
