"""Everything that a configuration can choose: that it is chosen, and two steps of it on the CPU's backends agree."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from built_in import built_in

import gearshift as gs
from gearshift.dl.experiment.build import build, build_callbacks
from gearshift.dl.experiment.config import parse
from gearshift.dl.experiment.sample import SAMPLE
from gearshift.dl.experiment.sections import AutoencoderSection, ModelSection
from gearshift.dl.layers import Layer
from gearshift.dl.layers.activations import activations
from gearshift.dl.optimizers.schedules import schedules

ROWS, BATCH = 24, 12  # two steps
TOLERANCE = 1e-9


def choices(section: type, key: str) -> list[str]:
    return list(get_args(section.model_fields[key].annotation))  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of each kind of target, and tokens."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    x, values = random.standard_normal((ROWS, 6)), random.standard_normal((ROWS, 3))
    shares = np.abs(values) / np.abs(values).sum(axis=1, keepdims=True)
    labels, tokens = random.permutation(np.arange(ROWS) % 3), random.integers(0, 7, (ROWS, 5)).astype(np.uint8)
    targets = {"classes": labels, "binary": labels % 2, "values": values, "shares": shares}
    targets["several"] = np.column_stack([labels, values])
    for name, y in targets.items():
        np.savez(folder / f"{name}.npz", x=x, y=y)
    np.savez(folder / "weighted.npz", x=x, y=labels, weight=np.arange(1.0, ROWS + 1))
    np.savez(folder / "tokens.npz", x=tokens, y=(tokens.astype(np.int64) + 1) % 7)
    np.savez(folder / "sequences.npz", x=tokens, y=labels)
    return folder


def two_steps(text: str, files: Path, data: str = "classes", batch: int = BATCH, **fit: Any) -> gs.Trainer:
    """The trainer of a text on the Numba backend, after two steps; on the reference they end at the same weights."""
    table = tomllib.loads(text)
    table.setdefault("optimizer", {"name": "Nesterov", "lr": 0.1})  # which runs as a list
    table.setdefault("data", {}).update(source=str(files / f"{data}.npz"), test=0.0, validation=0.0)
    table.setdefault("model", {}).update({"dtype": "float64", "hidden": [8], **table.get("model", {})})
    ends = []
    for backend in ("numpy", "numba"):
        splits, trainer = build(parse(table), backend)
        trainer.fit(splits.train, epochs=2 * batch // ROWS, batch_size=batch, verbose=False, **fit)
        assert trainer.step == 2
        ends.append(trainer)
    wanted, found = (end.model.state_dict() for end in ends)
    for name, value in wanted.items():
        assert np.max(np.abs(found[name] - value)) <= TOLERANCE * max(1e-3, np.max(np.abs(value))), name
    return ends[1]


@pytest.mark.parametrize("name", built_in(gs.Optimizer.registered))
def test_optimizer(name: str, files: Path) -> None:
    whole = name in ("DeltaBarDelta", "Newton", "NewtonCG")
    run = two_steps(f'optimizer.name = "{name}"', files, batch=ROWS if whole else BATCH)
    assert type(run.optimizer) is gs.Optimizer.registered[name]


def test_optimizer_s_arguments_groups_and_a_momentum_that_rises(files: Path) -> None:
    run = two_steps(
        """
        [optimizer]
        name = "Momentum"
        lr = 0.01
        momentum = { start = 0.5, stop = 0.9, steps = 10 }
        groups = [{ names = "1.*", lr = 1e-3, weight_decay = 0.1 }]
        """,
        files,
    )
    assert isinstance(run.optimizer, gs.Momentum)
    assert vars(run.optimizer.momentum) == vars(gs.Ramp(0.5, 0.9, 10))
    assert [(group.names, group.lr, group.weight_decay) for group in run.groups] == [("1.*", 1e-3, 0.1)]


@pytest.mark.parametrize("name", built_in(gs.Loss.registered))
def test_loss(name: str, files: Path) -> None:
    data = "shares" if name == "SoftCrossEntropyLoss" else gs.Loss.registered[name].targets
    assert type(two_steps(f'loss.name = "{name}"', files, data).loss) is gs.Loss.registered[name]


def test_joint_loss_of_a_perceptron(files: Path) -> None:
    text = 'loss.heads = {kind = {loss = "CrossEntropyLoss", outputs = 3}, place = {outputs = 3, weight = 0.5}}'
    run = two_steps(text, files, "several")
    assert isinstance(run.loss, gs.JointLoss) and list(run.loss.heads) == ["kind", "place"]


@pytest.mark.parametrize("name", built_in(schedules()))
def test_schedule(name: str, files: Path) -> None:
    more = ", start = 1.0, stop = 0.5" if name == "Ramp" else ""
    run = two_steps(f'schedule = {{name = "{name}", warmup = 1, steps = 3{more}}}', files)
    own = {"onecycle": "OneCycle", "plateau": "ReduceOnPlateau"}.get(name, name.capitalize())
    assert type(run.schedule).__name__.startswith(own)


@pytest.mark.parametrize("name", built_in(activations()))
def test_activation(name: str, files: Path) -> None:
    run = two_steps(f'model = {{activation = "{name}", dropout = 0.3, batch_norm = true, pieces = 3}}', files)
    assert [type(layer).__name__.lower() for layer in run.model.children().values()][3] == name


@pytest.mark.parametrize("name", choices(ModelSection, "init"))
def test_initializer(name: str, files: Path) -> None:
    run = two_steps(f'model.init = "{name}"', files)
    assert run.model.children()["1"].config()["init"] == ("he" if name == "auto" else name)


@pytest.mark.parametrize("kind", [kind for kind in choices(AutoencoderSection, "kind") if kind != "none"])
@pytest.mark.parametrize("own", ['penalty = "l1"', 'noise = "gaussian"'])
def test_autoencoder(kind: str, own: str, files: Path) -> None:
    run = two_steps(f'autoencoder = {{kind = "{kind}", code = 2, {own}}}', files)
    assert run.predict(np.zeros((1, 6))).shape == (1, 6)
    within = repr(run.model)
    layer = {"contractive": "Contractive", "variational": "Variational"}.get(kind, "Linear")
    layer = ("L1Activity" if "l1" in own else "KLSparsity") if kind == "sparse" else layer
    layer = ("GaussianNoise" if "gaussian" in own else "MaskingNoise") if kind == "denoising" else layer
    assert layer in within


@pytest.mark.parametrize(
    "text",
    ["l1 = 0.01", "soft_threshold = 0.01", "clip_norm = 0.1\nclip_value = 0.05", "[optimizer]\nweight_decay = 1"],
)
def test_regularizer_and_clipping(text: str, files: Path) -> None:
    plain, run = (two_steps(f"[train]\n{given}", files).model.state_dict() for given in ("", text))
    assert max(float(np.max(np.abs(run[name] - value))) for name, value in plain.items()) > 1e-9


def test_weights_of_rows_and_classes(files: Path) -> None:
    runs = [two_steps("", files, data).model.state_dict() for data in ("classes", "weighted")]
    runs.append(two_steps("", files, class_weight=[1.0, 2.0, 3.0]).model.state_dict())
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert max(float(np.max(np.abs(runs[one][name] - runs[other][name]))) for name in runs[0]) > 1e-9


def test_callbacks_that_watch(files: Path, tmp_path: Path) -> None:
    """Their keys are in the metrics of a run."""
    from gearshift.__main__ import main

    text = f"""
        data = {{source = "{files / "classes.npz"}", test = 0.0, validation = 0.0}}
        watch = {{gradient_norms = true, curvature = true, rows = 10, flat_epochs = 2, restart = true}}
        train.epochs = 2
        model = {{hidden = [4], dtype = "float64"}}
        """
    (tmp_path / "watch.toml").write_text(text)
    splits, _ = build(parse(tomllib.loads(text)), "numpy")
    norms, curvature, flat = build_callbacks(parse(tomllib.loads(text)), splits)
    assert isinstance(norms, gs.GradientNorms) and isinstance(curvature, gs.Curvature)
    assert isinstance(flat, gs.FlatStretch) and (flat.epochs, flat.restarts) == (2, 3)
    assert len(norms.x) == len(curvature.x) == 10
    with pytest.raises(SystemExit) as ended:
        main(["train", str(tmp_path / "watch.toml"), "--run", str(tmp_path / "run"), "--backend", "numpy", "--quiet"])
    assert not ended.value.code
    record = gs.Run(tmp_path / "run").history[-1]
    assert {"gradient_norm", "gradient_norm 1.weight", "descent", "curvature"} <= record.keys()


OTHERS = {
    "Linear": '{kind = "Linear", out_features = 5, bias = false, init = "he"}',
    "ReLU": '{kind = "ReLU"}',
    "Tanh": '{kind = "Tanh"}',
    "Sigmoid": '{kind = "Sigmoid"}',
    "GELU": '{kind = "GELU"}',
    "Softplus": '{kind = "Softplus"}',
    "SiLU": '{kind = "SiLU"}',
    "LeakyReLU": '{kind = "LeakyReLU", negative_slope = 0.2}',
    "ELU": '{kind = "ELU", alpha = 0.5}',
    "Hardtanh": '{kind = "Hardtanh", min_val = -2.0}',
    "Maxout": '{kind = "Maxout", pieces = 3}',
    "Dropout": '{kind = "Dropout", p = 0.4}',
    "BatchNorm1d": '{kind = "BatchNorm1d", momentum = 0.2}',
    "LayerNorm": '{kind = "LayerNorm"}',
    "Standardize": '{kind = "Standardize", name = "s", inputs = ["x"]}, {kind = "Add", inputs = ["first", "s"]}',
    "GaussianNoise": '{kind = "GaussianNoise", deviation = 0.2}',
    "MaskingNoise": '{kind = "MaskingNoise", p = 0.2}',
    "L1Activity": '{kind = "L1Activity", weight = 0.1}',
    "KLSparsity": '{kind = "Sigmoid"}, {kind = "KLSparsity", rate = 0.2}',
    "Contractive": '{kind = "Contractive", out_features = 4, activation = "tanh"}',
    "Variational": '{kind = "Variational", out_features = 3}',
    "Add": '{kind = "Tanh", name = "h"}, {kind = "Add", inputs = ["h", "first"]}',
    "Concatenate": '{kind = "Tanh", name = "h"}, {kind = "Concatenate", inputs = ["h", "x"]}',
    "Residual": '{kind = "Residual", layers = [{kind = "Linear", out_features = 6}, {kind = "Tanh"}]}',
    "Sequential": '{kind = "Sequential", layers = [{kind = "Residual", layers = [{kind = "ReLU"}]}, {kind = "Tanh"}]}',
}
OF_TOKENS = {
    "MeanPooling": '{kind = "MeanPooling"}',
    "MaxPooling": '{kind = "MaxPooling"}',
    "Embedding": '{kind = "ReLU"}',
    "LayerNorm": '{kind = "LayerNorm"}',
    "MultiHeadAttention": '{kind = "MultiHeadAttention", heads = 2, causal = true, dropout = 0.1}',
    "CrossAttention": (
        '{kind = "Tanh", name = "h"}, {kind = "ReLU", name = "r"}, '
        '{kind = "CrossAttention", heads = 2, inputs = ["h", "r"]}'
    ),
    "TransformerBlock": '{kind = "TransformerBlock", heads = 2, hidden = 5}',
    "Residual": '{kind = "Residual", layers = [{kind = "LayerNorm"}, {kind = "MultiHeadAttention", heads = 4}]}',
}


@pytest.mark.parametrize("kind", OTHERS)
def test_layer(kind: str, files: Path) -> None:
    layers = f'{{name = "first", kind = "Linear", out_features = 6}}, {OTHERS[kind]}, {{kind = "Linear"}}'
    assert f"{kind}(" in repr(two_steps(f"model.layers = [{layers}]", files).model)


@pytest.mark.parametrize("kind", OF_TOKENS)
def test_layer_of_tokens(kind: str, files: Path) -> None:
    layers = (
        f'{{kind = "Embedding", embedding_dim = 8, length = 5, padding = 0}}, {OF_TOKENS[kind]}, {{kind = "Linear"}}'
    )
    pooled = "Pooling" in kind
    text = f"data.standardize = false\nmodel.layers = [{layers}]"
    run = two_steps(text, files, "sequences" if pooled else "tokens")
    assert f"{kind}(" in repr(run.model) and "Embedding(num_embeddings=7" in repr(run.model)
    assert run.predict(np.zeros((2, 5), np.uint8)).shape == (2,) if pooled else (2, 5)


def test_every_layer_is_here() -> None:
    own = {name for name, kind in Layer.registered.items() if kind.__module__.startswith("gearshift.dl.layers")}
    assert own - {"Model"} == OTHERS.keys() | OF_TOKENS.keys()


def test_the_sample_names_every_choice() -> None:
    aliases = [kind.alias for kind in built_in(schedules()).values() if kind.alias]
    missing = [name for name in (*built_in(activations()), *aliases) if f'"{name}"' not in SAMPLE]
    assert not missing, "dl/experiment/sample.py lists what a configuration can choose"
