"""The pages of the command line and of the configuration's keys, made from the program itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from gearshift.__main__ import application
from gearshift.dl.experiment.schema import schema


def commands() -> str:
    """The page of all commands and their options."""
    from typer.main import get_command

    group: Any = get_command(application())
    lines = ["Command line", "============", "", "``gearshift COMMAND --help`` shows the same in the terminal.", ""]
    for name, command in group.commands.items():
        title = f"gearshift {name}"
        lines += [title, "-" * len(title), "", _text(command.help or ""), ""]
        rows = []
        for parameter in command.params:
            words = ", ".join(parameter.opts) if parameter.opts[0].startswith("-") else parameter.name.upper()
            if parameter.opts[0].startswith("-") and not getattr(parameter, "is_flag", False):
                words += f" {parameter.metavar or parameter.name.upper()}"
            rows.append((f"``{words}``", _text(getattr(parameter, "help", "") or "")))
        lines += _table(("option", "meaning"), [row for row in rows if "--help" not in row[0]])
    return "\n".join(lines)


def configuration() -> str:
    """The page of all keys of a configuration."""
    document = schema()
    lines = ["Configuration keys", "==================", ""]
    lines += ["``gearshift init`` writes a file with all of them. Every key is optional.", ""]
    for section, reference in document["properties"].items():
        facts = document["$defs"][reference["$ref"].rpartition("/")[2]]
        title = f"[{section}]"
        lines += [title, "-" * len(title), "", _text(facts.get("description", "")), ""]
        rows = [
            (f"``{key}``", f"``{json.dumps(of.get('default', ''))}``", _text(of.get("description", "")))
            for key, of in facts["properties"].items()
        ]
        lines += _table(("key", "default", "meaning"), rows)
    return "\n".join(lines)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """A table in reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (head, *rows) if rows else ():
        lines += [f"   {'* -' if place == 0 else '  -'} {cell}" for place, cell in enumerate(row)]
    return [*lines, ""] if rows else []


def _text(text: str) -> str:
    """Plain text, in which nothing is markup."""
    plain = " ".join(text.split()).replace("``", "")
    return "".join(f"\\{letter}" if letter in "*`|_\\" else letter for letter in plain)


def write_pages(app: Sphinx) -> None:
    """Writes the two pages beside those of the reference."""
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    for name, text in (("commands", commands()), ("configuration", configuration())):
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write_pages, priority=90)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
