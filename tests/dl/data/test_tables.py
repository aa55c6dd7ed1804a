"""Tables with categories and missing values: compared with scikit-learn's encoder and imputer, and with pandas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.data.model_rows import feature_rows
from gearshift.dl.data.table_source import TableOptions, load_table

pandas = pytest.importorskip("pandas")


def people(rows: int = 200, seed: int = 0) -> Any:
    """A frame with numbers, truth values, text and missing ones of each."""
    random = np.random.default_rng(seed)
    frame = pandas.DataFrame(
        {
            "id": np.arange(rows),
            "age": random.integers(18, 80, rows).astype(float),
            "city": random.choice(["Oslo", "Paris", "Rome"], rows),
            "member": random.random(rows) < 0.5,
            "income": random.normal(50, 10, rows),
        }
    )
    frame["buys"] = np.where(frame["age"] + 20 * (frame["city"] == "Rome") > 60, "yes", "no")
    frame.loc[::7, "age"] = np.nan
    frame.loc[::9, "city"] = None
    return frame


def stored(frame: Any, path: Path, kind: str) -> Any:
    """The frame itself in a library's form, or in a file."""
    if kind == "pandas":
        return frame
    if kind in ("polars", "pyarrow"):
        pyarrow = pytest.importorskip("pyarrow")
        table = pyarrow.Table.from_pandas(frame, preserve_index=False)
        return table if kind == "pyarrow" else pytest.importorskip("polars").from_arrow(table)
    path = path / f"people.{kind}"
    if kind == "parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "csv", "parquet"])
def test_every_container_gives_what_scikit_learn_makes_of_it(tmp_path: Path, kind: str) -> None:
    """One-hot features, and means of the training rows in place of missing numbers."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    frame = people()
    data = gs.load_dataset(stored(frame, tmp_path, kind), drop=["income"], missing="mean", seed=3)
    names = ["id", "age", "city=Oslo", "city=Paris", "city=Rome", "member"]
    assert data.train.feature_names == names and data.classes.tolist() == ["no", "yes"]
    rows = {part: getattr(data, part).x[:, 0].astype(int) for part in ("train", "validation", "test")}
    assert sorted(np.concatenate([*rows.values()])) == frame["id"].tolist()
    imputer: Any = SimpleImputer().fit(frame[["age"]].to_numpy()[rows["train"]])
    categories: Any = [["Oslo", "Paris", "Rome"]]
    encoder: Any = OneHotEncoder(categories=categories, handle_unknown="ignore")
    for part, chosen in rows.items():
        own = getattr(data, part)
        ages = imputer.transform(frame[["age"]].to_numpy()[chosen])
        cities = encoder.fit_transform(frame[["city"]].to_numpy()[chosen]).toarray()
        np.testing.assert_allclose(own.x[:, 1:2], ages, rtol=1e-12)
        np.testing.assert_array_equal(own.x[:, 2:5], cities)
        np.testing.assert_array_equal(own.x[:, 5], frame["member"].to_numpy()[chosen])
        assert data.classes[own.y].tolist() == frame["buys"].to_numpy()[chosen].tolist()


def test_no_name_is_no_weight(tmp_path: Path) -> None:
    """In Python as in a configuration."""
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + "\n".join(f"{row / 7},{row % 2}" for row in range(20)))
    assert gs.load_dataset(path, weight="").train.weight is None


def test_dropped_rows_are_those_that_pandas_drops(tmp_path: Path) -> None:
    frame = people()
    table = load_table(stored(frame, tmp_path, "csv"), TableOptions(missing="drop"))
    assert table.x[:, 0].tolist() == frame.dropna()["id"].tolist()


def test_a_model_of_a_table_predicts_tables(tmp_path: Path) -> None:
    """Columns in any order, with and without the target, in files and frames; unseen categories are told."""
    frame = people(400)
    data = gs.load_dataset(frame, drop=["id"], missing="mean")
    model = gs.Sequential(gs.Standardize(6).fit(*data.standardization()), gs.Linear(6, 16), gs.ReLU(), gs.Linear(16, 2))
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.01), backend="numpy")
    trainer.fit(data.train, epochs=20, verbose=False)
    expected = data.classes[trainer.predict(data.test.x)]
    model.save(tmp_path / "m.safetensors")
    trainer.save(tmp_path / "run.safetensors")
    for path in ("m.safetensors", "run.safetensors"):
        loaded = gs.load(tmp_path / path)
        assert str(loaded.preparation) == str(data.preparation) and "dropped" in str(loaded.preparation)
        rows = frame[["city", "income", "member", "age"]].iloc[[3, 1]]
        np.testing.assert_array_equal(
            loaded.predict(rows, backend="numpy"), loaded.predict(frame, backend="numpy")[[3, 1]]
        )
        np.testing.assert_array_equal(loaded.predict(data.test.x, backend="numpy"), expected)
        scores = loaded.evaluate(frame, frame["buys"], backend="numpy")
        answers = loaded.predict(frame, backend="numpy")
        assert scores["accuracy"] == pytest.approx(np.mean(answers == frame["buys"].to_numpy()))
        with pytest.warns(UserWarning, match=r"column 'city': 2 rows with categories .* \('Bonn'\)"):
            strange = rows.assign(city="Bonn")
            known = loaded.preparation.apply(feature_table(strange))[0]
            assert not known[:, 1:4].any()
            loaded.predict(strange, backend="numpy")
        for changed, message in (
            (rows.drop(columns="age"), "the column 'age' is missing"),
            (rows.drop(columns=["age", "city"]), "the columns 'age', 'city' are missing"),
            (rows.assign(zip=1), "the column 'zip' is unknown"),
            (rows.assign(age="old"), "row 0, column 'age': the value is 'old', expected a number"),
            (rows.assign(age=["20", "old"] * (len(rows) // 2)), "row 1, column 'age': the value is 'old', expected"),
            (rows.assign(age="20"), "row 0, column 'age': the value is '20', expected a number"),
        ):
            with pytest.raises(gs.DataError, match=message):
                loaded.predict(changed, backend="numpy")


def feature_table(frame: Any) -> Any:
    """The table of a frame."""
    from gearshift.dl.data.tables import frame_table

    return frame_table(frame)


def test_a_model_of_arrays_predicts_tables_by_name(tmp_path: Path) -> None:
    frame = people()[["age", "income"]].fillna(1.0)
    frame[["income", "age"]].assign(extra=1).to_csv(tmp_path / "t.csv", index=False)
    rows = feature_rows(tmp_path / "t.csv", None, ["age", "income"])
    np.testing.assert_allclose(rows.dataset.x, frame.to_numpy(), rtol=1e-15)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda f: f, {}, "row 0, column 'age': the value is missing; set data.missing = 'mean'"),
        (lambda f: f.assign(id=f["id"].astype(str) + "x"), {"missing": "mean"}, "'id' has 200 different values"),
        (lambda f: f.assign(day=pandas.Timestamp("2024-05-01")), {"missing": "mean"}, "'day' holds dates .* data.drop"),
        (lambda f: f.assign(day=pandas.Timedelta("1h")), {"missing": "mean"}, "'day' holds durations"),
        (lambda f: f.assign(no=np.nan), {"missing": "mean"}, "column 'no' has no values; leave it out"),
        (lambda f: f, {"drop": ["ide"]}, "there is no column 'ide', which drop names"),
        (lambda f: f, {"drop": ["buys"], "target": "buys"}, "name a column twice: 'buys'"),
        (lambda f: f, {"categorical": ["buys"], "target": "buys"}, "categorical names 'buys', which is no feature"),
        (lambda f: f.assign(buys=f["buys"].where(f["id"] > 2)), {"missing": "mean"}, "the target is missing"),
        (lambda f: f.assign(o=[{}] * 200), {"missing": "mean"}, "column 'o' holds a dict"),
    ],
)
def test_what_is_refused(change: Any, options: dict[str, Any], message: str) -> None:
    frame = change(people())
    with pytest.raises(gs.DataError, match=message):
        gs.load_dataset(frame, **{"target": "buys", **options})


def test_options_of_tables_are_checked() -> None:
    options: dict[str, Any]
    for options, message in (
        ({"missing": "zero"}, "missing='zero'"),
        ({"categories": 1}, "categories=1"),
        ({"drop": "id"}, "drop='id', expected a list"),
    ):
        with pytest.raises(gs.ConfigurationError, match=message):
            gs.load_dataset(people(), **options)
    with pytest.raises(gs.ConfigurationError, match=r"names a column of a \.csv"):
        gs.load_dataset("digits", drop=["id"])


def test_numbers_named_categorical_and_typed_categories() -> None:
    frame = pandas.DataFrame(
        {"zip": [10, 9, 10, 9], "size": pandas.Categorical(["s", "m", "s", "m"]), "y": [1.0, 2, 3, 4]}
    )
    data = gs.load_dataset(frame, categorical=["zip"], validation=0, test=0)
    assert data.train.feature_names == ["zip=9", "zip=10", "size=m", "size=s"]
    assert data.train.x.tolist() == [[0, 1, 0, 1], [1, 0, 1, 0]] * 2


def test_a_class_of_one_row_trains() -> None:
    frame = people().fillna({"age": 1.0, "city": "Rome"})
    frame.loc[5, "buys"] = "perhaps"
    data = gs.load_dataset(frame)
    assert np.bincount(data.train.y, minlength=3)[1] == 1 and data.classes.tolist() == ["no", "perhaps", "yes"]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 60 + b"PAR1"])
def test_damaged_parquet(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(gs.DataError, match=r"t\.parquet: it cannot be read"):
        gs.load_dataset(tmp_path / "t.parquet")
    with pytest.raises(gs.DataError, match="no such file"):
        gs.load_dataset(tmp_path / "none.parquet")


def trained(frame: Any, loss: Any, outputs: int, **options: Any) -> tuple[Any, Any]:
    """A model of a table after two epochs, and its trainer."""
    data = gs.load_dataset(frame, missing="mean", **options)
    width = data.train.x.shape[1]
    model = gs.Sequential(gs.Standardize(width).fit(*data.standardization()), gs.Linear(width, outputs))
    trainer = gs.Trainer(model, loss, gs.Adam(lr=0.01), backend="numpy")
    trainer.fit(data.train, epochs=2, verbose=False)
    return model, trainer


def test_evaluation_finds_the_target_in_the_frame(tmp_path: Path) -> None:
    """The same as with y given; the model knows the column's name, also after saving. Values, and classes as names."""
    frame = people()
    model, trainer = trained(frame, gs.MSELoss(), 1, target="income", drop=["buys"])
    expected = model.evaluate(frame, frame["income"].to_numpy(), backend="numpy")
    assert model.evaluate(frame, backend="numpy") == trainer.evaluate(frame) == expected
    assert model.evaluate(frame[["income", "city", "age", "member", "id"]], backend="numpy") == expected
    model, trainer = trained(frame, gs.CrossEntropyLoss(), 2)
    expected = model.evaluate(frame, frame["buys"].to_numpy(), backend="numpy", report=True)
    trainer.save(tmp_path / "run.safetensors")
    loaded = gs.load(tmp_path / "run.safetensors")
    assert loaded.evaluate(frame, backend="numpy", report=True) == trainer.evaluate(frame, report=True) == expected


def test_evaluation_without_a_target_says_which_column_it_needs() -> None:
    frame = people()
    model, trainer = trained(frame, gs.CrossEntropyLoss(), 2)
    for evaluate in (model.evaluate, trainer.evaluate):
        with pytest.raises(
            gs.DataError, match=r"no column 'buys', which the model was trained to predict.*evaluate\(x, y"
        ):
            evaluate(frame.drop(columns="buys"))
    with pytest.raises(gs.DataError, match="is 'perhaps'; the model's classes are 'no', 'yes'"):
        model.evaluate(frame.assign(buys="perhaps"))
    assert len(model.predict(frame.assign(buys="perhaps"))) == len(frame), "a prediction needs no target"


def described(**columns: Any) -> dict[str, str]:
    """What the printed table says of each column."""
    frame = pandas.DataFrame({**columns, "y": np.arange(len(next(iter(columns.values())))) % 2})
    printed = str(gs.load_dataset(frame, validation=0, test=0).preparation)
    return {line.split()[0]: line.partition("  ")[2].strip() for line in printed.splitlines()}


def test_ids_and_codes_are_remarked_with_the_remedy() -> None:
    """Integers that all differ, or whose name says that they are names; quantities are not."""
    random = np.random.default_rng(0)
    ids, towns = random.permutation(500)[:200] + 7000, random.choice([10115, 80331, 1067], 200)
    found = described(
        customer=ids, zip=towns, zipCode=towns, plz=towns, store_id=towns % 7,
        weight=random.normal(size=200), width=towns, decoded=towns, paid=towns % 2, rooms=random.integers(1, 9, 200),
    )  # fmt: skip
    assert found["customer"].startswith("numbers, as they are")
    assert "an id? then leave it out: data.drop = ['customer']" in found["customer"]
    for name in ("zip", "zipCode", "plz", "store_id"):
        assert f"a code? then leave it out: data.drop = ['{name}'], or data.categorical = ['{name}']" in found[name]
    for name in ("weight", "width", "decoded", "paid", "rooms"):
        assert "?" not in found[name], name


def test_remarks_on_columns_are_saved_and_change_nothing(tmp_path: Path) -> None:
    frame = people()
    model, _ = trained(frame, gs.CrossEntropyLoss(), 2)
    model.save(tmp_path / "m.safetensors")
    loaded = gs.load(tmp_path / "m.safetensors")
    assert "data.drop = ['id']" in str(loaded.preparation)
    np.testing.assert_array_equal(loaded.predict(frame, backend="numpy"), model.predict(frame, backend="numpy"))
    assert "?" not in described(few=np.arange(10))["few"], "ten rows may differ by chance"
