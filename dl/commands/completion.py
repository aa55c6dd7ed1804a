"""What the shell proposes for options."""

from __future__ import annotations

from collections.abc import Iterator


def backends(incomplete: str) -> list[str]:
    """Names of backends."""
    return [name for name in ("auto", "numpy", "numba", "cupy") if name.startswith(incomplete)]


def settings(incomplete: str) -> Iterator[str]:
    """Keys of a configuration, as ``optimizer.lr=``; after the equals sign, values that are names."""
    from ..experiment.schema import schema

    document = schema()
    for section, reference in document["properties"].items():
        keys = document["$defs"][reference["$ref"].rpartition("/")[2]]["properties"]
        for key, facts in keys.items():
            start = f"{section}.{key}="
            if not incomplete.startswith(start):
                if start.startswith(incomplete):
                    yield start
                continue
            values = facts.get("enum", ["true", "false"] if facts.get("type") == "boolean" else [])
            yield from (value for name in values if (value := f"{start}{name}").startswith(incomplete))
