"""Fingerprint of a run's data: sizes, names and a hash."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from .dataset import Dataset
from .splits import Splits

HASHED = 64 << 20  # bytes of an array that are hashed at most
BLOCK = 1 << 20  # bytes of a hashed block of a larger array

Hash = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class Part(BaseModel):
    """Fingerprint of one part of the data: shapes, dtypes and a hash of the bytes."""

    model_config = ConfigDict(strict=True, frozen=True)

    rows: Annotated[int, Field(ge=1, lt=2**62)]
    arrays: Annotated[dict[str, str], Field(max_length=3)]
    """Shape of a row and dtype, by the array's name."""
    values: Hash


class Identity(BaseModel):
    """Fingerprint of a data set and its parts. Its types reject malicious files.

    The hash is BLAKE2b. It covers arrays of up to 64 MiB completely, and 64 evenly spaced blocks of 1 MiB of larger
    ones. So a memory map is not read completely, and a change of a few rows of very large data may go unnoticed.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    parts: Annotated[dict[str, Part], Field(max_length=3)]
    feature_names: list[str] | None = None
    classes: list[int | str] | None = None

    @staticmethod
    def of(splits: Splits, targets: bool = True) -> Identity:
        """The fingerprint of data; without `targets` if these were derived from the rows."""
        parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
        return Identity(
            parts={name: part_of(data, targets) for name, data in parts.items() if data is not None},
            feature_names=splits.train.feature_names,
            classes=None if splits.classes is None else splits.classes.tolist(),
        )

    def changes(self, now: Identity) -> list[str]:
        """Describes the differences to `now`, ignoring names."""
        found = []
        for name, before in self.parts.items():
            after = now.parts.get(name)
            if after is None:
                found.append(f"the {name} part is gone")
            elif after.rows != before.rows:
                found.append(f"the {name} part has {after.rows:,} rows, and had {before.rows:,}")
            elif after.arrays != before.arrays:
                kinds = [f"{array} is {kind}" for array, kind in after.arrays.items()]
                were = [f"{array} was {kind}" for array, kind in before.arrays.items()]
                found.append(f"in the {name} part {', '.join(kinds)}, and {', '.join(were)}")
            elif after.values != before.values:
                found.append(f"the {name} part has other values")
        return found + [f"the {name} part is new" for name in now.parts if name not in self.parts]


def part_of(data: Dataset, targets: bool = True) -> Part:
    """The fingerprint of one part."""
    digest, kinds = hashlib.blake2b(digest_size=16), {}
    for name in ("x", "y", "weight") if targets else ("x", "weight"):
        if getattr(data, name) is not None:
            array = data.on_host(name)
            kinds[name] = f"{tuple(map(int, array.shape[1:]))} {array.dtype}"
            _hash(digest, array)
    return Part(rows=len(data), arrays=kinds, values=digest.hexdigest())


def _hash(digest: Any, array: np.ndarray) -> None:
    bytes_ = np.asarray(array).reshape(-1).view(np.uint8)
    if bytes_.size <= HASHED:
        return digest.update(bytes_.data)
    for start in np.linspace(0, bytes_.size - BLOCK, HASHED // BLOCK).astype(np.int64).tolist():
        digest.update(bytes_[start : start + BLOCK].data)
