"""Numbers of tables that could be read in two ways, and columns that are written in two ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gearshift as gs


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


def test_separators_of_thousands_in_the_target_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "size,price\n" + "".join(f'{i / 10},"{300000 + 500 * i:,}"\n' for i in range(30)))
    with pytest.raises(gs.DataError, match=r"line 2, column 'price'.*'300,000'.*decimal sign '\.'.*data.decimal"):
        gs.load_dataset(path, seed=0)


def test_the_decimal_sign_is_that_of_the_target_too(tmp_path: Path) -> None:
    path = table(tmp_path, "size;price\n" + "".join(f"{i},5;{i},25\n" for i in range(30)))
    data = gs.load_dataset(path, seed=0, labels="values")
    np.testing.assert_allclose(np.sort(data.train.y % 1), 0.25)
    points = table(tmp_path, "size;price\n" + "".join(f"{i},5;32{i}.421\n" for i in range(10, 40)))
    with pytest.raises(gs.DataError, match=r"column 'price'.*'3210.421'.*decimal sign ','"):
        gs.load_dataset(points, seed=0, decimal=",")


def test_two_decimal_signs_in_a_file_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "x;price\n" + "".join(f"{i % 17},5;{1 + i % 9}.{100 + i}\n" for i in range(50)))
    with pytest.raises(gs.DataError, match=r"'0,5' and '1.100' have different decimal signs; set data.decimal"):
        gs.load_dataset(path, seed=0)


def test_the_default_target_cannot_be_dropped(tmp_path: Path) -> None:
    path = table(tmp_path, "a,b,c\n" + "".join(f"{i},{i * i},{i % 2}\n" for i in range(30)))
    with pytest.raises(gs.DataError, match="drop names the last column, 'c'"):
        gs.load_dataset(path, seed=0, drop=["c"])
    assert gs.load_dataset(path, seed=0, drop=["c"], target="b", labels="values").train.x.shape[1] == 1


def test_a_column_without_a_name_has_a_remedy(tmp_path: Path) -> None:
    path = table(tmp_path, ",a,b\n0,1,2\n1,2,3\n")
    with pytest.raises(gs.DataError, match="index=False"):
        gs.load_dataset(path, seed=0)


def test_truth_values_and_whole_categories_of_a_file_are_those_of_a_frame(tmp_path: Path) -> None:
    rows = [(i % 4, "yes" if i % 3 else "no", i / 7, i % 2) for i in range(60)]
    path = table(tmp_path, "zone,member,size,label\n" + "".join(f"{a},{b},{c},{d}\n" for a, b, c, d in rows))
    data = gs.load_dataset(path, seed=0, categorical=["zone"])
    model = gs.Sequential(gs.Linear(data.train.x.shape[1], 2))
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
    trainer.fit(data.train, epochs=1, batch_size=20, verbose=False)
    frame = pd.DataFrame(rows, columns=["zone", "member", "size", "label"]).drop(columns="label")
    expected = model.predict_proba(frame.assign(member=(frame.member == "yes").astype(float)))
    np.testing.assert_array_equal(model.predict_proba(frame), expected)
    floats = table(tmp_path, "zone,member,size\n" + "".join(f"{a}.0,{b},{c}\n" for a, b, c, _ in rows))
    np.testing.assert_allclose(model.predict_proba(pd.read_csv(floats)), expected)


def test_whole_categories_that_a_file_writes_as_floats(tmp_path: Path) -> None:
    path = table(tmp_path, "zone,size,label\n" + "".join(f"{i % 4},{i / 7},{i % 2}\n" for i in range(60)))
    data = gs.load_dataset(path, seed=0, categorical=["zone"])
    assert data.preparation is not None
    from gearshift.dl.data.model_rows import feature_rows

    floats = tmp_path / "floats.csv"
    floats.write_text("zone,size\n" + "".join(f"{i % 4}.0,{i / 7}\n" for i in range(8)))
    found = feature_rows(floats, data.preparation)
    assert found.remarks == []
    np.testing.assert_array_equal(found.dataset.x[:, :4], np.eye(4)[np.arange(8) % 4])
