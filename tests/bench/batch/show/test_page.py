"""The HTML page of a run: whole in itself, the same for equal runs, and nothing of a file's text becomes markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import simulation
from simulation import Device, Roof

from gearshift.__main__ import main
from gearshift.bench.batch import files

pytest.importorskip("plotly")


class Outline(HTMLParser):
    """What a page consists of, scripts and styles left out."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.script, self.inside = "", "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.script += data
        elif self.inside != "style":
            self.text += data


def page(tmp_path: Path, noise: float | None = 900.0, data: str = "SIMULATION") -> str:
    """The page of a simulated run, by the command."""
    document = simulation.simulate([Roof(5e-6, 2e12, 4e13), Device("numba", 3e-5, 5e-6)], noise)
    document.task.data = data
    files.write(document, tmp_path / "a.json")
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--from", str(tmp_path / "a.json"), "--html", str(tmp_path / "a.html")])
    assert not ended.value.code
    return (tmp_path / "a.html").read_text(encoding="utf-8")


def test_page_is_whole_in_itself(tmp_path: Path) -> None:
    """No address is loaded; every chart has words beside it, and every table its place to scroll."""
    text = page(tmp_path)
    outline = Outline()
    outline.feed(text)
    loading = {"link", "iframe", "img"}
    assert not [tag for tag, given in outline.tags if {"src", "href"} & given.keys() or tag in loading]
    assert "SIMULATION" in outline.text and "reaches the target fastest" in outline.text
    charts = [given for tag, given in outline.tags if given.get("role") == "img"]
    assert len(charts) == 4 and all(len(given["aria-label"] or "") > 40 for given in charts)
    assert all(given["tabindex"] == "0" for _, given in outline.tags if given.get("class") == "scroll")
    assert [given["lang"] for tag, given in outline.tags if tag == "html"] == ["en"]
    assert text == page(tmp_path)


def test_page_without_noise_scale(tmp_path: Path) -> None:
    """Has the two charts that need none."""
    assert len(re.findall('role="img"', page(tmp_path, None))) == 2


def test_text_of_a_file_is_no_markup(tmp_path: Path) -> None:
    """A name from a file that somebody sent."""
    outline = Outline()
    outline.feed(page(tmp_path, data="<script>steal()</script>"))
    assert "<script>steal()</script>" in outline.text and "steal()" not in outline.script
