"""What a run and a model know of their data: columns and classes are found by name, and other data are noticed."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.__main__ import main
from gearshift.backends.errors import CheckpointError, DataError
from gearshift.dl.data import Dataset, Splits, identity
from gearshift.dl.data.identity import Identity
from gearshift.dl.experiment.run import Run
from gearshift.dl.storage import load_tensors, save_tensors

pd = pytest.importorskip("pandas")

NAMES = ["income", "debt", "age"]
RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(RANDOM.normal(size=(60, 3)), columns=NAMES)
LABELS = (FRAME.debt > FRAME.income).astype(int)
OTHER = FRAME[["age", "income", "debt"]]


def trainer(**arguments: Any) -> gs.Trainer:
    model = gs.Sequential(gs.Linear(3, 4), gs.ReLU(), gs.Linear(4, 2))
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend="numpy", **arguments)


def fitted() -> gs.Trainer:
    found = trainer()
    found.fit(FRAME, LABELS, epochs=1, verbose=False)
    return found


# ---- columns in Python -----------------------------------------------------------------------------------------


def test_columns_in_another_order_are_put_in_order_at_every_entry() -> None:
    found = fitted()
    assert found.model.feature_names == NAMES
    array = FRAME.to_numpy()
    np.testing.assert_array_equal(found.predict_proba(OTHER), found.predict_proba(array))
    np.testing.assert_array_equal(found.predict(OTHER), found.predict(FRAME))
    assert found.evaluate(OTHER, LABELS) == found.evaluate(array, LABELS)
    assert str(found.report(OTHER, LABELS)) == str(found.report(array, LABELS))
    first = found.model[0]  # pyright: ignore[reportIndexIssue]
    np.testing.assert_array_equal(found.outputs_of(first, OTHER), found.outputs_of(first, array))
    for asked in (gs.value_and_grad, gs.gradient_noise, gs.check_gradients):
        assert str(asked(found.model, found.loss, OTHER, LABELS)) == str(asked(found.model, found.loss, FRAME, LABELS))


def test_a_second_fit_and_validation_are_matched_too() -> None:
    one, two = fitted(), fitted()
    one.fit(FRAME, LABELS, validation=(FRAME, LABELS), epochs=2, verbose=False)
    two.fit(OTHER, LABELS, validation=(OTHER, LABELS), epochs=2, verbose=False)
    for measure in ("loss", "validation_loss"):
        assert [record[measure] for record in one.history.records[1:]] == [
            record[measure] for record in two.history.records[1:]
        ]
    new = trainer()
    new.fit(FRAME, LABELS, validation=(OTHER, LABELS), epochs=1, verbose=False)
    assert new.history[-1]["validation_loss"] == pytest.approx(new.evaluate(FRAME, LABELS)["loss"], rel=1e-12)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (FRAME.rename(columns={"debt": "owed"}), "the column 'debt' is missing and the column 'owed' is unknown"),
        (FRAME.assign(debt2=1.0), "the column 'debt2' is unknown; the model was trained on 'income', 'debt', 'age'"),
        (FRAME.drop(columns="age"), "the column 'age' is missing; the model"),
    ],
)
def test_missing_and_unknown_columns_are_refused_by_name(x: Any, message: str) -> None:
    found = fitted()
    weights = found.model.state_dict()
    for asked in (
        lambda: found.predict(x),
        lambda: found.evaluate(x, LABELS),
        lambda: found.fit(x, LABELS, verbose=False),
        lambda: found.fit(FRAME, LABELS, validation=(x, LABELS), verbose=False),
        lambda: gs.value_and_grad(found.model, found.loss, x, LABELS),
    ):
        with pytest.raises(DataError, match=message):
            asked()
    assert all((found.model.state_dict()[name] == value).all() for name, value in weights.items())
    new = trainer()
    with pytest.raises(DataError, match=message):
        new.fit(FRAME, LABELS, validation=(x, LABELS), verbose=False)
    assert new.model.feature_names is None  # nothing was trained


def test_data_without_names_go_by_their_order() -> None:
    found = trainer()
    found.fit(FRAME.to_numpy(), LABELS, verbose=False)
    assert found.model.feature_names is None
    found.predict(OTHER)
    found.fit(pd.DataFrame(FRAME.to_numpy()), LABELS, verbose=False)  # columns 0, 1, 2 are no names, as in scikit-learn
    assert found.model.feature_names is None
    assert Dataset(FRAME.to_numpy(), feature_names=NAMES)[3:].feature_names == NAMES
    with pytest.raises(DataError, match=r"rows of shape \(3,\) and 2 feature names"):
        Dataset(FRAME.to_numpy(), feature_names=["a", "b"])


def test_a_memory_map_of_named_columns_is_put_in_order(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", OTHER.to_numpy(copy=True))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    found = fitted()
    data = Dataset(x, feature_names=[*OTHER.columns])
    np.testing.assert_array_equal(found.predict_proba(data), found.predict_proba(FRAME))


def test_names_go_with_a_saved_model_and_a_saved_trainer(tmp_path: Path) -> None:
    found = fitted()
    found.model.save(tmp_path / "model.safetensors")
    found.save(tmp_path / "run.safetensors")
    for path in ("model.safetensors", "run.safetensors"):
        assert gs.load(tmp_path / path).feature_names == NAMES
    other = trainer()
    other.load(tmp_path / "run.safetensors")
    assert other.model.feature_names == NAMES
    np.testing.assert_array_equal(other.predict_proba(OTHER), found.predict_proba(FRAME))
    wide = gs.Sequential(gs.Linear(40_000, 1))  # more names than a header holds
    wide.feature_names = [f"a column with a long name {i}" for i in range(40_000)]
    wide.save(tmp_path / "wide.safetensors")
    assert gs.load(tmp_path / "wide.safetensors").feature_names == wide.feature_names


@pytest.mark.parametrize(
    "stored", [b"", b"{", b"3", b"[]", b"[1]", b'["a", "a"]', b'"abc"', b"[" * 100_000, b"\xff", b'[["a"]]', b"null"]
)
def test_hostile_names_are_refused(tmp_path: Path, stored: bytes) -> None:
    fitted().save(path := tmp_path / "run.safetensors")
    tensors, metadata = load_tensors(path, expected_format="gearshift")
    tensors["feature_names"] = np.frombuffer(stored, np.uint8)
    save_tensors(path, tensors, metadata)
    with pytest.raises(CheckpointError):
        gs.load(path)
    with pytest.raises(CheckpointError):
        trainer().load(path)
    del tensors["feature_names"]  # as older versions wrote it
    save_tensors(path, tensors, metadata)
    assert gs.load(path).feature_names is None
    trainer().load(path)


def test_estimators_refuse_as_scikit_learn_does() -> None:
    from sklearn.neural_network import MLPClassifier

    for kind in (gs.MLPClassifier, MLPClassifier):
        found: Any = kind(max_iter=300, tol=1.0, n_iter_no_change=1).fit(FRAME, LABELS)
        assert [*found.feature_names_in_] == NAMES
        for x in (OTHER, FRAME.rename(columns={"debt": "owed"}), FRAME.drop(columns="age")):
            with pytest.raises(ValueError, match=r"feature names|features"):
                found.predict(x)
        with pytest.raises(ValueError, match="feature names"):
            found.partial_fit(OTHER, LABELS)


# ---- classes ---------------------------------------------------------------------------------------------------


def test_labels_are_mapped_by_the_names_of_classes() -> None:
    found = trainer()
    found.fit(Dataset(FRAME, LABELS, classes=["no", "yes"]), verbose=False)
    assert found.model.classes == ["no", "yes"]
    turned = Dataset(FRAME, 1 - LABELS, classes=["yes", "no"])
    assert found.evaluate(turned) == found.evaluate(FRAME, LABELS)
    with pytest.raises(DataError, match="the classes of the data are 'cat', 'dog', and the model was trained on 'no'"):
        found.evaluate(Dataset(FRAME, LABELS, classes=["cat", "dog"]))


def test_a_source_names_columns_and_classes(tmp_path: Path) -> None:
    FRAME.assign(default=np.where(LABELS, "yes", "no")).to_csv(tmp_path / "a.csv", index=False)
    splits = gs.load_dataset(tmp_path / "a.csv")
    for part in (splits.train, splits.validation, splits.test):
        assert part.feature_names == NAMES and part.classes == ["no", "yes"]
    np.savez(tmp_path / "a.npz", x=FRAME.to_numpy(), y=LABELS.to_numpy(), feature_names=np.array(NAMES))
    splits = gs.load_dataset(tmp_path / "a.npz")
    assert splits.train.feature_names == NAMES and splits.train.classes is None  # 0 and 1 name themselves
    for names in (np.array(NAMES[:2]), np.array(["a", "a", "b"]), np.arange(3)):
        np.savez(tmp_path / "b.npz", x=FRAME.to_numpy(), y=LABELS.to_numpy(), feature_names=names)
        with pytest.raises(DataError, match=r"feature names|feature_names has shape"):
            gs.load_dataset(tmp_path / "b.npz")


# ---- a run -----------------------------------------------------------------------------------------------------

TABLE = FRAME.assign(default=np.where(LABELS, "yes", "no"))
KEYS = ["data.source=data.csv", "model.hidden=[4]", "train.epochs=2", "backend.name='numpy'"]


@dataclass
class Outcome:
    """How a command ended and what it wrote."""

    code: int
    stdout: str
    stderr: str

    @property
    def test(self) -> dict[str, float]:
        assert self.code == 0, self.stderr
        return json.loads(self.stdout)["test"]

    def refuses(self, message: str) -> bool:
        """Whether it ended for a user's mistake, in one line that says so."""
        last = self.stderr.strip().splitlines()[-1]
        return self.code == 2 and last.startswith("error: ") and message in last


def gearshift(*arguments: str) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([*arguments])
    code = ended.value.code
    return Outcome(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())


def train(*more: str, epochs: int = 2, keys: list[str] = KEYS, run: str = "r") -> Outcome:
    settings = [part for key in [*keys, f"train.epochs={epochs}"] for part in ("--set", key)]
    return gearshift("train", "--quiet", "--json", "--run", run, *settings, *more)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    TABLE.to_csv("data.csv", index=False)
    assert train().code == 0
    return tmp_path / "r"


def test_the_same_data_are_taken_without_a_word(run: Path) -> None:
    assert Run(run).data is not None and Run(run).data.feature_names == NAMES  # pyright: ignore
    outcome = gearshift("evaluate", "r", "--json")
    assert "warning" not in outcome.stderr and outcome.test
    assert train("--resume", epochs=3).code == 0


def test_columns_of_a_file_in_another_order_are_put_in_order(run: Path, tmp_path: Path) -> None:
    before = gearshift("evaluate", "r", "--json").test
    TABLE[["debt", "age", "income", "default"]].to_csv("data.csv", index=False)
    outcome = gearshift("evaluate", "r", "--json")
    assert outcome.test == before and "warning" not in outcome.stderr
    resumed = train("--resume", epochs=4).test
    TABLE.to_csv("data.csv", index=False)
    assert resumed == train(epochs=4, run="s").test


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.rename(columns={"debt": "owed"}), "the column 'debt' is missing and the column 'owed' is unknown"),
        (lambda t: t.assign(default=np.where(LABELS, "dog", "cat")), "the classes of the data are 'cat', 'dog'"),
        (lambda t: t.drop(columns="age"), "the column 'age' is missing"),
    ],
)
def test_other_names_are_refused(run: Path, change: Any, message: str) -> None:
    change(TABLE).to_csv("data.csv", index=False)
    kept = (run / "last.safetensors").read_bytes()
    for outcome in (gearshift("evaluate", "r"), train("--resume", epochs=3)):
        assert outcome.refuses(message)
    (run / "data.json").unlink()  # as older versions left it: what the model knows of names still holds
    outcome = gearshift("evaluate", "r")
    assert outcome.refuses(message)
    assert (run / "last.safetensors").read_bytes() == kept


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: pd.concat([t, t[:10]]), "the train part has 49 rows, and had 42"),
        (lambda t: t[:-7], "rows, and had 42"),
        (lambda t: t.assign(debt=t.debt.where(t.debt < 1, 7.0)), "the train part has other values"),
        (lambda t: t.assign(default=t.default.where(t.index > 1, "yes")), "other values"),
        (lambda t: t.iloc[::-1], "other values"),
    ],
)
def test_other_rows_are_refused_on_resume_and_warned_of_on_evaluate(run: Path, change: Any, message: str) -> None:
    change(TABLE).to_csv("data.csv", index=False)
    kept = {file.name: file.read_bytes() for file in run.iterdir()}
    outcome = train("--resume", epochs=3)
    assert outcome.refuses(message)
    assert outcome.refuses("Bring the data back to go on, or train a new run on these")
    assert {file.name: file.read_bytes() for file in run.iterdir()} == kept
    outcome = gearshift("evaluate", "r", "--json")
    assert outcome.test and outcome.stderr.count("warning: the data have changed since r was trained") == 1
    assert message in outcome.stderr and "may have been trained on" in outcome.stderr
    (run / "data.json").unlink()
    outcome = gearshift("evaluate", "r", "--json")
    assert outcome.test and "warning" not in outcome.stderr


def test_an_autoencoder_s_run_knows_its_rows(run: Path) -> None:
    keys = [*KEYS, "autoencoder.kind='undercomplete'", "autoencoder.code=2", "data.labels='values'"]
    TABLE.drop(columns="default").to_csv("data.csv", index=False)
    assert train(keys=keys, run="a").code == 0
    assert "warning" not in gearshift("evaluate", "a").stderr
    assert train("--resume", epochs=3, keys=keys, run="a").code == 0
    FRAME.assign(income=1.0).to_csv("data.csv", index=False)
    assert "warning" in gearshift("evaluate", "a").stderr


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"{}",
        b"[]",
        b"[" * 100_000,
        b"\xff",
        b'{"parts": {"train": {"rows": -1, "arrays": {}, "values": "' + b"0" * 32 + b'"}}}',
        b'{"parts": {"train": {"rows": 1, "arrays": {}, "values": "zz"}}}',
        b'{"parts": {}, "classes": [1.5]}',
        b'{"parts": {}, "feature_names": [1]}',
    ],
)
def test_a_damaged_record_of_data_is_named(run: Path, stored: bytes) -> None:
    (run / "data.json").write_bytes(stored)
    for outcome in (gearshift("evaluate", "r"), train("--resume", epochs=3)):
        assert outcome.refuses("data.json is damaged")


# ---- identity --------------------------------------------------------------------------------------------------


def test_the_hash_sees_all_of_small_data_and_blocks_of_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.zeros((1000, 3))

    def changed(row: int) -> list[str]:
        other = x.copy()
        other[row] = 1
        return Identity.of(Splits(Dataset(x))).changes(Identity.of(Splits(Dataset(other))))

    assert all(changed(row) == ["the train part has other values"] for row in range(0, 1000, 37))
    monkeypatch.setattr(identity, "HASHED", 240)
    monkeypatch.setattr(identity, "BLOCK", 24)  # ten rows of the thousand, the first and the last among them
    noticed = [row for row in range(1000) if changed(row)]
    assert {0, 999} <= {*noticed} and 10 <= len(noticed) <= 20
    assert np.diff(noticed).max() <= 112


def test_layout_and_place_of_the_same_data_are_no_change(tmp_path: Path) -> None:
    x = FRAME.to_numpy(copy=True)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    one = Identity.of(Splits(Dataset(np.ascontiguousarray(x), LABELS)))
    for other in (np.asfortranarray(x), x.astype(">f8"), mapped):
        assert Identity.of(Splits(Dataset(other, LABELS))) == one
    assert Identity.of(Splits(Dataset(x.astype("f4"), LABELS))) != one
    assert Identity.model_validate_json(one.model_dump_json()) == one
