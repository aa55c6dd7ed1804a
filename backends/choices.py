"""Choices that were made by measurement on this machine, kept in a file for later processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


class Choices(dict[str, list[int]]):
    """Choices by name, each a list of integers.

    Parameters
    ----------
    file : JSON file that keeps them; None to keep them in this process alone.
    valid : whether a list from elsewhere can be a choice.
    """

    def __init__(self, file: Path | None, valid: Callable[[list[int]], bool]) -> None:
        self.file, self._valid = file, valid
        super().__init__(self._read())

    def choose(self, name: str, choice: list[int], certain: bool = True) -> list[int]:
        """Keeps a choice, in the file if it is certain; returns it."""
        self[name] = choice
        if self.file is not None and certain:
            _write(self.file, {**self._read(), name: choice})
        return choice

    def restore(self, choices: Any) -> None:
        """Takes choices of another process, which go before those of the file; invalid ones are ignored."""
        self.update(self._checked(choices))

    def _read(self) -> dict[str, list[int]]:
        """The choices in the file; empty if it is missing or invalid."""
        try:
            return self._checked(json.loads(self.file.read_text(encoding="utf-8"))) if self.file is not None else {}
        except (OSError, ValueError, RecursionError):
            return {}

    def _checked(self, choices: Any) -> dict[str, list[int]]:
        if not isinstance(choices, dict):
            return {}
        return {
            str(name): words
            for name, words in choices.items()
            if isinstance(words, list)
            and all(type(word) is int and 0 <= word < 1 << 64 for word in words)
            and self._valid(words)
        }


def file(name: str) -> Path | None:
    """A file in the cache folder; None if there is no such folder."""
    folder = os.environ.get("GEARSHIFT_CACHE_DIR")
    if not folder:
        try:
            from platformdirs import user_cache_dir
        except ImportError:
            return None
        folder = user_cache_dir("gearshift")
    return Path(folder) / name


def _write(path: Path, choices: dict[str, list[int]]) -> None:
    """Replaces the file atomically; if it is not writable, later processes measure again."""
    fresh = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(choices, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        fresh.replace(path)
