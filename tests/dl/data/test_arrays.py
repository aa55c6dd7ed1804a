"""The same numbers in any layout, byte order and container: the same bits as from a C-contiguous array, everywhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.data import Dataset
from gearshift.dl.data.arrays import plain, read

pd = pytest.importorskip("pandas")

ROWS, FEATURES, CLASSES = 43, 5, 3
RANDOM = np.random.default_rng(0)
NUMBERS = RANDOM.normal(size=(ROWS, FEATURES))
LABELS = RANDOM.integers(0, CLASSES, ROWS)


class Sub(np.ndarray):
    """An array of a user's own class."""


def spread(a: np.ndarray) -> np.ndarray:
    wide = np.zeros([2 * length for length in a.shape], a.dtype)
    wide[(slice(None, None, 2),) * a.ndim] = a
    return wide[(slice(None, None, 2),) * a.ndim]


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a: np.ndarray) -> np.ndarray:
    found = np.ndarray(a.shape, a.dtype, np.zeros(a.nbytes + 1, np.uint8).data, 1)
    found[...] = a
    return found


def field(a: np.ndarray) -> np.ndarray:
    records = np.zeros(len(a), [("pad", "i1"), ("a", a.dtype, a.shape[1:])])
    records["a"] = a
    return records["a"]


def mapped(a: np.ndarray) -> np.ndarray:
    found = np.memmap(f"{next(number)}.dat", a.dtype, "w+", 0, a.shape, "F" if a.flags.fnc else "C")
    found[...] = a
    return found


number = itertools.count()
LAYOUTS: dict[str, Callable[[np.ndarray], Any]] = {
    "Fortran": np.asfortranarray,
    "every other": spread,
    "backwards": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "columns backwards": lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
    "read-only": read_only,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "unaligned": unaligned,
    "field of records": field,
    "map": mapped,
    "Fortran map": lambda a: mapped(np.asfortranarray(a)),
    "big-endian map": lambda a: mapped(a.astype(a.dtype.newbyteorder(">"))),
    "masked without mask": np.ma.array,
    "subclass": lambda a: a.view(Sub),
    "frame": lambda a: pd.DataFrame(a) if a.ndim == 2 else pd.Series(a),
    "frame by columns": lambda a: pd.DataFrame({str(i): c for i, c in enumerate(a.T)}) if a.ndim == 2 else pd.Series(a),
    "DLPack": lambda a: DLPack(a),
}
DTYPES = ("f8", "f4", "f2", "u1", "i4", "?")


class DLPack:
    """What offers DLPack alone, in strides of its own, as a transposed tensor."""

    def __init__(self, a: np.ndarray) -> None:
        self.array = np.asfortranarray(a)

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


@pytest.fixture(autouse=True)
def _maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows(dtype: str) -> np.ndarray:
    """The numbers in a dtype; bytes and integers are whole, and tokens of the sequence model."""
    return (np.abs(NUMBERS) * 50 if dtype in ("u1", "i4") else NUMBERS > 0 if dtype == "?" else NUMBERS).astype(dtype)


def test_what_comes_out_is_c_contiguous_aligned_and_native_in_every_combination() -> None:
    for dtype, (kind, layout) in itertools.product(DTYPES, LAYOUTS.items()):
        x = rows(dtype)
        data = Dataset(layout(x), layout(LABELS), layout(np.abs(NUMBERS[:, 0])))
        for array in (data.x, data.y, data.weight):
            assert array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative, (dtype, kind)
        want = Dataset(x.copy(), LABELS.copy(), np.abs(NUMBERS[:, 0]))
        for name in ("x", "y", "weight"):
            found, wanted = getattr(data, name), getattr(want, name)
            assert found.dtype == wanted.dtype and found.tobytes() == wanted.tobytes(), (dtype, kind, name)
        for part in (data[::2], data[::-1], data[np.arange(3)], data[1:4]):
            assert part.x.flags.c_contiguous and part.y.flags.c_contiguous, (dtype, kind)


def test_what_need_not_be_copied_is_not() -> None:
    for dtype in ("f8", "f4", "u1"):
        x = rows(dtype)
        for given in (x, read_only(x), x.view(Sub), np.ma.array(x)):
            assert np.shares_memory(Dataset(given).x, given)
        file = mapped(x)
        assert Dataset(file).x is file and isinstance(Dataset(file)[2:9].x, np.memmap)
    x = rows("f8")
    assert np.shares_memory(Dataset(pd.DataFrame(x, copy=False)).x, x)


def test_read_and_plain_do_not_copy_what_is_good() -> None:
    x = rows("f8")
    assert read("x", x)[0] is x
    assert plain("x", x, x.dtype) is x


# ---- entries ---------------------------------------------------------------------------------------------------


def dense(classes: int = CLASSES) -> gs.Sequential:
    return gs.Sequential(gs.Linear(FEATURES, 4), gs.Tanh(), gs.Linear(4, classes))


def dropout() -> gs.Sequential:
    first = gs.Standardize(FEATURES).fit(np.full(FEATURES, 0.5), np.full(FEATURES, 2.0))
    return gs.Sequential(first, gs.Linear(FEATURES, 4), gs.ReLU(), gs.Dropout(0.2), gs.Linear(4, CLASSES))


def sequence() -> gs.Sequential:
    return gs.Sequential(gs.Embedding(256, 4, length=FEATURES), gs.MeanPooling(), gs.Linear(4, CLASSES))


def trainer(model: gs.Layer, backend: str) -> gs.Trainer:
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.01), backend=backend, seed=1)


def trained(make: Callable[[], gs.Sequential], backend: str, x: Any, y: Any, weight: Any) -> list[Any]:
    """All that the entries of a trainer answer for these data."""
    plain_one = trainer(make(), backend)
    history = plain_one.fit(x, y, validation=(x, y), epochs=2, batch_size=8, verbose=False)
    found: list[Any] = [history["loss"], history["validation_loss"]]
    weighed = trainer(make(), backend)
    found.append(weighed.fit((x, y, weight), epochs=1, batch_size=8, verbose=False)["loss"])
    found += [
        plain_one.evaluate(x, y, report=True),
        plain_one.predict(x).tolist(),
        plain_one.predict_proba(x).tobytes(),
    ]
    model: Any = plain_one.model
    found.append(plain_one.outputs_of(model[0], x).tobytes())
    return found


def looked_at(x: Any, y: Any) -> list[Any]:
    """All that the entries beside a trainer answer."""
    model, loss = dense().ensure_initialized(1), gs.CrossEntropyLoss()
    value, gradient = gs.value_and_grad(model, loss, x, y)
    found: list[Any] = [value, *(g.tobytes() for g in gradient.values())]
    hessian = gs.Hessian(model, loss, x, y)
    found.append((hessian @ np.ones(hessian.size)).tobytes())
    noise = gs.gradient_noise(model, loss, x, y)
    found += [noise.variance, noise.squared_norm]
    found.append([row.gradient for row in gs.check_gradients(model, loss, x, y, most=4).rows])
    trials = gs.learning_rate_trials(
        lambda lr: trainer(dense(), "numpy"), x, y, rates=[0.1], iterations=3, batch_size=8
    )
    found.append(trials.rows[0].loss)
    watch = trainer(dense(), "numpy")
    callbacks = [gs.GradientNorms(x, y), gs.Curvature(x, y)]
    watch.fit(x, y, epochs=1, callbacks=callbacks, verbose=False)
    return [*found, {k: v for k, v in watch.history[-1].items() if "second" not in k}]


def estimated(x: Any, y: Any) -> list[Any]:
    """What scikit-learn's entries answer."""
    found: list[Any] = []
    estimators: list[Any] = [
        gs.MLPClassifier((4,), max_iter=2, random_state=0, backend="numpy"),
        gs.LogisticRegression(max_iter=3, backend="numpy"),
        gs.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, random_state=0, backend="numpy"),
        gs.Autoencoder(2, (3,), max_iter=2, random_state=0, backend="numpy"),
    ]
    for estimator in estimators:
        estimator.fit(x, y)
        found.append(
            estimator.transform(x).tobytes() if hasattr(estimator, "transform") else estimator.predict(x).tolist()
        )
        found.append(estimator.score(x, y))
    return found


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("make", [dense, dropout, sequence])
def test_a_trainer_answers_the_same_bits_for_every_layout(make: Callable[[], gs.Sequential], backend: str) -> None:
    dtypes = ("u1", "i4") if make is sequence else ("f8", "f4", "u1")
    for dtype in dtypes:
        x, y, weight = rows(dtype), LABELS, np.abs(NUMBERS[:, 0])
        want = trained(make, backend, x.copy(), y.copy(), weight.copy())
        kinds = (
            LAYOUTS if (make, dtype) in ((dense, "f8"), (dropout, "f4")) else ["Fortran", "big-endian map", "unaligned"]
        )
        for kind in kinds:
            layout = LAYOUTS[kind]
            assert trained(make, backend, layout(x), layout(y), layout(weight)) == want, (dtype, kind)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("asked", [looked_at, estimated])
def test_other_entries_answer_the_same_bits_for_every_layout(asked: Callable[[Any, Any], list[Any]]) -> None:
    for dtype, kinds in (("f8", LAYOUTS), ("f4", ["Fortran", "big-endian", "every other"])):
        x = rows(dtype)
        want = asked(x.copy(), LABELS.copy())
        for kind in kinds:
            if asked is estimated and kind == "DLPack":
                continue  # scikit-learn takes none
            assert asked(LAYOUTS[kind](x), LAYOUTS[kind](LABELS)) == want, (dtype, kind)
