"""What `gearshift bench` prints: the answer first, and no advice where the machine was disturbed."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

from rich.console import Console

from gearshift.bench.batch import files
from gearshift.bench.batch.records import Document
from gearshift.bench.batch.show.report import show
from gearshift.dl.commands.console import configuration_of

MEASURED = Path(__file__).parents[4] / "bench" / "results" / "batch-size-2-core-xeon.json"


def printed(document: Document) -> list[str]:
    """The lines of the report on a wide terminal."""
    text = io.StringIO()
    show(document, Console(file=text, width=200))
    return text.getvalue().splitlines()


def test_answer_comes_first() -> None:
    """What is measured, three lines, a command, and then the tables; the last line is the command again."""
    lines = printed(files.read(MEASURED))
    assert [line.partition(":")[0] for line in lines[2:5]] == ["Use", "Why", "Gain"]
    assert lines[1] == lines[5] == lines[7] == "" and lines[8].startswith("The batch size that reaches")
    assert lines[-1] == f"next: {lines[6]}"


def test_command_is_whole() -> None:
    """It trains the measured configuration with the advised settings, and nothing is left to be filled in."""
    document = files.read(MEASURED)
    program, command, *options = shlex.split(printed(document)[6])
    assert (program, command) == ("gearshift", "train") and options[-2:] == ["--backend", "numba"]
    assert options[:-2:2] == ["--set"] * (len(options[:-2]) // 2)
    found = configuration_of(None, options[1:-2:2])
    assert found.data.source == "fashion-mnist" and found.model.hidden == [128]
    assert found.train.batch_size == 256 and found.optimizer.lr == 0.0023 and found.train.epochs == 74


def test_doubt_replaces_the_advice() -> None:
    """Where other programs met more than a quarter of the batch sizes: no batch size and no command."""
    document = files.read(MEASURED)
    points = document.of("numba")
    for point in points[:5]:
        point.disturbed = [True] * len(point.rounds)
    lines = printed(document)
    assert lines[2].startswith("No advice: other programs used the machine at 5 of 17 batch sizes of numba")
    assert lines[3] == "Stop them, and run the same command again."
    text = "\n".join(lines)
    assert "Use:" not in text and "gearshift train" not in text and "reaches the target fastest" not in text
    for point in points[:2]:
        point.disturbed = [False] * len(point.rounds)
    assert "Use:" in "\n".join(printed(document))


def test_no_row_names_a_bound_that_explains_less_than_is_unexplained() -> None:
    rows = [
        line.split() for line in printed(files.read(MEASURED)) if "%" in line and ("µs  " in line or "ms  " in line)
    ]
    assert len(rows) == 34
    for row in rows:
        name = next(word for word in row if word in ("compute", "memory", "launch", "other"))
        shares = [int(word[:-1]) for word in row if word.endswith("%")][1:]  # the first is that of the peak
        parts: dict[str, int] = dict(zip(("compute", "memory", "launch", "other"), shares, strict=True))
        assert parts[name] >= max(parts.values()) - 2, row  # whole per cent


def test_guide_shows_this_report() -> None:
    """The block in the guide is what is printed of the file that it names."""
    guide = (Path(__file__).parents[4] / "docs" / "batch-size.md").read_text(encoding="utf-8")
    shown = guide.split("```text\n")[1].split("```")[0]
    assert " ".join(shown.split()) == " ".join(" ".join(printed(files.read(MEASURED))[2:7]).split())
