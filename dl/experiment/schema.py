"""The JSON schema of configurations, with which editors complete and check TOML files."""

from __future__ import annotations

import re
from typing import Any

from ..layers.activations import activations
from ..losses.losses import Loss
from ..optimizers.base import Optimizer
from ..optimizers.schedules import schedules
from .sample import SAMPLE
from .sections import Configuration


def schema() -> dict[str, Any]:
    """The JSON schema; descriptions are the comments of the sample configuration."""
    found = Configuration.model_json_schema()
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    found["title"] = "Gearshift configuration"
    sections = found["$defs"]
    names = {
        ("ModelSection", "activation"): activations(),
        ("OptimizerSection", "name"): Optimizer.registered,
        ("ScheduleSection", "name"): schedules(),
        ("LossSection", "name"): ("auto", *Loss.registered, "JointLoss"),
        ("HeadSection", "loss"): Loss.registered,
    }
    for (section, key), known in names.items():
        sections[section]["properties"][key]["enum"] = sorted(known)
    for (section, key), comment in comments().items():
        reference = found["properties"][section]["$ref"].rpartition("/")[2]
        sections[reference]["properties"][key]["description"] = comment
    return found


def comments() -> dict[tuple[str, str], str]:
    """The comment of each key of the sample configuration, by section and key."""
    found, section = {}, ""
    for line in SAMPLE.splitlines():
        if opened := re.match(r"\[(\w+)\]", line):
            section = opened[1]
        elif (key := re.match(r"(\w+) = [^#]*(?:# (.*))?$", line)) and key[2]:
            found[section, key[1]] = key[2]
    return found
