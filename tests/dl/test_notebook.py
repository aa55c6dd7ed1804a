"""What a notebook shows, in a real kernel: settings, layers, progress, curves and pictures."""

from __future__ import annotations

from typing import Any

import pytest

import gearshift as gs

CELLS = {
    "imports": """
import sys; sys.path[:] = {path!r}
import numpy as np, gearshift as gs
x = np.random.default_rng(0).normal(size=(60, 4)); y = (x.sum(1) > 0).astype(int)""",
    "model": "model = gs.Sequential(gs.Linear(4, 8), gs.ReLU(), gs.Linear(8, 2)); model",
    "activation": "gs.ReLU()",
    "fit": """
trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend="numpy")
history = trainer.fit(x, y, validation=0.2, epochs=30)""",
    "trainer": "trainer",
    "history": "history",
    "figure": "history.plot()",
    "pyplot": "import matplotlib.pyplot; history.plot()",
}


@pytest.fixture(scope="module")
def outputs() -> dict[str, list[Any]]:
    """What each cell shows."""
    client, form = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    import sys

    texts = [text.format(path=sys.path) if name == "imports" else text for name, text in CELLS.items()]
    notebook = form.v4.new_notebook(cells=[form.v4.new_code_cell(text) for text in texts])
    client.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}


def html(outputs: list[Any]) -> str:
    return "".join(output.data.get("text/html", "") for output in outputs if "data" in output)


def test_a_model_shows_its_layers(outputs: dict[str, list[Any]]) -> None:
    shown = html(outputs["model"])
    assert shown.count("<tr>") == 4 and "ReLU()" in shown and "58 parameters" in shown
    assert html(outputs["activation"]) == "<pre>ReLU()</pre>"  # it does not know the width of its rows


def test_a_trainer_shows_its_settings_and_its_model(outputs: dict[str, list[Any]]) -> None:
    shown = html(outputs["trainer"])
    assert "CrossEntropyLoss()" in shown and "numpy" in shown and "58 parameters" in shown


def test_fit_shows_one_bar_that_ends_full(outputs: dict[str, list[Any]]) -> None:
    shown = html(outputs["fit"])
    assert shown.startswith("epoch 30/30 ") and '<progress value="1440" max="1440">' in shown  # 48 rows, 30 times
    assert "val accuracy" in shown and "samples/s" in shown
    said = "".join(output.text for output in outputs["fit"] if output.output_type == "stream")
    assert said.startswith("backend numpy") and "epoch" not in said


def test_a_history_and_a_figure_show_the_curves(outputs: dict[str, list[Any]]) -> None:
    assert "<svg" in html(outputs["history"])
    for name in ("figure", "pyplot"):  # with Matplotlib's own display, too, once
        (output,) = outputs[name]
        assert "image/png" in output.data


def test_a_table_keeps_markup_as_text() -> None:
    model = gs.Sequential(gs.Linear(2, 1))
    assert "&#x27;glorot&#x27;" in model._repr_html_()
