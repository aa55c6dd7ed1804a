"""Sequences: gradients by central differences, training as PyTorch's own modules, attention's properties, refusals."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from central_differences import central_differences

import gearshift as gs
from gearshift.backends.errors import CheckpointError, ConfigurationError, DataError, NonFiniteLoss, ShapeError
from gearshift.backends.philox import key_of, permutation
from gearshift.dl.layers.architecture import build

BACKENDS = ("numpy", "numba")
ROWS, LENGTH, TOKENS = 10, 6, 9
RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, TOKENS, (ROWS, LENGTH)).astype(np.uint8)
Y = RANDOM.integers(0, TOKENS, (ROWS, LENGTH))


def example() -> ModuleType:
    path = Path(gs.__path__[0]) / "examples" / "characters.py"
    specification = importlib.util.spec_from_file_location("characters", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def net(*layers: gs.Layer, features: int = 8, length: int | None = LENGTH) -> gs.Sequential:
    """A model of tokens around some layers; biases, scales and positions are not 0 and 1."""
    model = gs.Sequential(
        gs.Embedding(TOKENS, features, length), *layers, gs.LayerNorm(features), gs.Linear(features, TOKENS),
        dtype="float64",
    ).init(3)  # fmt: skip
    random = np.random.default_rng(5)
    state = {name: value + 0.1 * random.standard_normal(value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    return model


def wired() -> gs.Model:
    """A residual block of named steps, and tokens beside each other that meet before the end."""
    x = gs.Input(LENGTH)
    h = gs.Embedding(TOKENS, 8)(x)
    h = gs.Add()(h, gs.MultiHeadAttention(8, 2, causal=True)(gs.LayerNorm(8)(h)))
    other = gs.Tanh()(gs.Linear(8, 5)(gs.Embedding(TOKENS, 8)(x)))
    return gs.Model(x, gs.Linear(13, TOKENS)(gs.Concatenate()(h, other)), dtype="float64").init(2)


MODELS: dict[str, Callable[[], gs.Layer]] = {
    "embedding": lambda: net(length=None),
    "embedding with places": net,
    "attention": lambda: net(gs.MultiHeadAttention(8, 2)),
    "causal attention": lambda: net(gs.MultiHeadAttention(8, 4, causal=True)),
    "attention with dropout": lambda: net(gs.MultiHeadAttention(8, 1, dropout=0.3)),
    "residual": lambda: net(gs.Residual(gs.LayerNorm(8), gs.Tanh())),
    "block": lambda: net(gs.TransformerBlock(8, 2, hidden=5)),
    "two blocks, places beyond the text": lambda: net(
        gs.TransformerBlock(8, 2, hidden=5), gs.TransformerBlock(8, 4, causal=False, dropout=0.2), length=LENGTH + 2
    ),
    "wired": wired,
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MODELS)
def test_gradient_is_that_of_central_differences(name: str, backend: str) -> None:
    model = MODELS[name]()
    given: dict[str, Any] = {"seed": 8, "step": 5}
    value, grads = gs.value_and_grad(model, gs.CrossEntropyLoss(), X[:3], Y[:3], backend=backend, **given)
    assert grads.keys() == model.state_dict().keys()
    assert np.isfinite(value)
    for key, index, numeric in central_differences(model, gs.CrossEntropyLoss(), X[:3], Y[:3], most=6, **given):
        assert abs(numeric - grads[key][index]) <= 2e-9


def in_torch(torch: Any, model: gs.Sequential) -> tuple[Any, dict[str, Any]]:
    """The model in PyTorch's own modules, with its weights; and by our names what `gradient_of` reads."""
    nn, dtype, modules = torch.nn, getattr(torch, model.dtype), {}
    for position, layer in enumerate(model):
        if isinstance(layer, gs.Embedding):
            modules[f"{position}.weight"] = nn.Embedding(layer.num_embeddings, layer.embedding_dim)
            if layer.length is not None:
                modules[f"{position}.position"] = nn.Embedding(layer.length, layer.embedding_dim)
        elif isinstance(layer, gs.TransformerBlock):
            block = nn.TransformerEncoderLayer(
                layer.features, layer.heads, layer.hidden, dropout=0.0, batch_first=True, norm_first=True,
                activation=partial(nn.functional.gelu, approximate="tanh"),
            )  # fmt: skip
            modules[f"{position}"] = block
        elif isinstance(layer, gs.LayerNorm):
            modules[f"{position}"] = nn.LayerNorm(layer.features)
        elif isinstance(layer, gs.Linear):
            modules[f"{position}"] = nn.Linear(layer.in_features, layer.out_features)
    blocks = {f"{position}": layer for position, layer in enumerate(model) if isinstance(layer, gs.TransformerBlock)}

    def forward(ids: Any) -> Any:
        x = 0
        for key, module in modules.items():
            if key.endswith(".weight"):
                x = module(ids)
            elif key.endswith(".position"):
                x = x + module(torch.arange(ids.shape[1]))
            elif key in blocks:
                mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1], dtype=dtype)
                x = module(x, src_mask=mask if blocks[key].causal else None)
            else:
                x = module(x)
        return x

    parameters: dict[str, Any] = {}
    for key, module in modules.items():
        module.to(dtype)
        if key in blocks:
            attention, norms = module.self_attn, (module.norm1, module.norm2)
            for half, norm in zip(("attention", "perceptron"), norms, strict=True):
                parameters |= {f"{key}.{half}.0.weight": norm.weight, f"{key}.{half}.0.bias": norm.bias}
            for i, name in enumerate(("query", "key", "value")):
                for kind in ("weight", "bias"):
                    parameters[f"{key}.attention.1.{name}.{kind}"] = (getattr(attention, f"in_proj_{kind}"), i)
            parameters |= linear(f"{key}.attention.1.output", attention.out_proj)
            parameters |= linear(f"{key}.perceptron.1", module.linear1)
            parameters |= linear(f"{key}.perceptron.3", module.linear2)
        elif key.endswith((".weight", ".position")):
            parameters[key] = module.weight
        else:
            parameters |= linear(key, module)
    for name, value in model.state_dict().items():
        with torch.no_grad():
            part_of(parameters[name])[...] = torch.tensor(value.T if is_product(name, value) else value)
    return forward, parameters


def linear(name: str, module: Any) -> dict[str, Any]:
    return {f"{name}.weight": module.weight, f"{name}.bias": module.bias}


def part_of(parameter: Any, gradient: bool = False) -> Any:
    """A parameter, or the third of a packed one."""
    tensor, third = parameter if isinstance(parameter, tuple) else (parameter, None)
    tensor = tensor.grad if gradient else tensor
    return tensor if third is None else tensor[third * (len(tensor) // 3) : (third + 1) * (len(tensor) // 3)]


def is_product(name: str, value: np.ndarray) -> bool:
    """Whether PyTorch has it the other way round: the weights of linear layers, not the tables of embeddings."""
    return value.ndim == 2 and not name.startswith("0.")


def worst(torch: Any, ours: dict[str, np.ndarray], theirs: dict[str, Any], gradient: bool = False) -> float:
    """The greatest difference, relative to the largest value of each tensor."""
    found = 0.0
    for name, value in ours.items():
        other = part_of(theirs[name], gradient).detach().numpy()
        other = other.T if is_product(name, value) else other
        found = max(found, float(np.max(np.abs(value - other)) / max(np.max(np.abs(other)), 1e-30)))
    return found


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("causal", [True, False])
def test_gradient_is_that_of_torch(causal: bool, backend: str) -> None:
    torch = pytest.importorskip("torch")
    model = net(gs.TransformerBlock(8, 2, causal=causal), gs.TransformerBlock(8, 4, hidden=12, causal=causal))
    value, grads = gs.value_and_grad(model, gs.CrossEntropyLoss(), X, Y, backend=backend)
    forward, parameters = in_torch(torch, model)
    logits = forward(torch.tensor(X, dtype=torch.long))
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, TOKENS), torch.tensor(Y).reshape(-1))
    loss.backward()
    assert abs(value - loss.item()) <= 1e-13
    # of a softmax, a bias of the keys changes nothing: its gradient is rounding alone
    keys = {name: grad for name, grad in grads.items() if name.endswith("key.bias")}
    assert keys and all(np.max(np.abs(grad)) <= 1e-15 for grad in keys.values())
    assert worst(torch, {k: g for k, g in grads.items() if k not in keys}, parameters, gradient=True) <= 1e-12


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-3)])
def test_the_example_s_loss_curve_is_that_of_torch(dtype: str, tolerance: float, backend: str) -> None:
    """The same weights and minibatches, 60 steps of Adam: the loss of each epoch, and the weights at the end."""
    torch = pytest.importorskip("torch")
    characters = example()
    text = Path(characters.argparse.__file__).read_text(encoding="utf-8")[: 64 * 60 + 1]
    alphabet = sorted(set(text))
    x, y = characters.windows(np.array([alphabet.index(c) for c in text], dtype=np.uint8), characters.LENGTH)
    assert x.shape == (60, 64) and np.array_equal(x[:, 1:], y[:, :-1])
    model = characters.network(len(alphabet), features=16, heads=2, blocks=1, dtype=dtype).init(4)
    forward, parameters = in_torch(torch, model)
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=3e-3), backend=backend, seed=4)
    history = trainer.fit(x, y, epochs=10, batch_size=10, verbose=False)
    assert trainer.step == 60
    tensors = list({id(p): p for p in (v[0] if isinstance(v, tuple) else v for v in parameters.values())}.values())
    optimizer = torch.optim.Adam(tensors, lr=3e-3)
    for epoch, record in enumerate(history.records):
        order, losses = permutation(np, key_of(4), len(x), epoch), []
        for start in range(0, len(x), 10):
            rows = order[start : start + 10]
            logits = forward(torch.tensor(x[rows], dtype=torch.long))
            labels = torch.tensor(y[rows].astype(np.int64)).reshape(-1)
            loss = torch.nn.functional.cross_entropy(logits.reshape(len(labels), -1), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert record["loss"] == pytest.approx(np.mean(losses), rel=tolerance)
    assert history.records[-1]["loss"] < 0.75 * history.records[0]["loss"]
    if dtype == "float64":
        ours = {name: value for name, value in model.state_dict().items() if not name.endswith("key.bias")}
        assert worst(torch, ours, parameters) <= 1e-8
    with torch.no_grad():
        wanted = torch.softmax(forward(torch.tensor(x[:3], dtype=torch.long)), dim=-1).numpy()
    assert np.max(np.abs(trainer.predict_proba(x[:3]) - wanted)) <= 100 * tolerance


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
def test_layer_norm_is_the_formula_and_torch_s(backend: str) -> None:
    model = gs.Sequential(gs.LayerNorm(5, eps=1e-3), dtype="float64")
    random = np.random.default_rng(2)
    x, w, b = random.standard_normal((4, 5)) * 3 + 1, random.standard_normal(5), random.standard_normal(5)
    model.load_state_dict({"0.weight": w, "0.bias": b})
    y = gs.Trainer(model, gs.MSELoss(), gs.SGD(), backend=backend).predict(x)
    centred = x - x.mean(axis=1, keepdims=True)
    assert np.allclose(
        y, centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-3) * w + b, rtol=0, atol=1e-14
    )
    torch = pytest.importorskip("torch")
    theirs = torch.nn.functional.layer_norm(torch.tensor(x), (5,), torch.tensor(w), torch.tensor(b), 1e-3)
    assert np.allclose(y, theirs.numpy(), rtol=0, atol=1e-14)


def outputs(model: gs.Layer, x: np.ndarray, backend: str = "numpy") -> np.ndarray:
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend=backend).predict_proba(x)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_causal_model_does_not_look_ahead(backend: str) -> None:
    model = net(gs.TransformerBlock(8, 2), gs.TransformerBlock(8, 4))
    other = X.copy()
    other[:, 4:] = (other[:, 4:] + 1) % TOKENS
    a, b = outputs(model, X, backend), outputs(model, other, backend)
    assert np.array_equal(a[:, :4], b[:, :4])
    assert (np.abs(a[:, 4:] - b[:, 4:]).max(axis=(1, 2)) > 1e-3).all()
    assert np.allclose(outputs(model, X[:, :3], backend), a[:, :3], rtol=0, atol=1e-14)  # a shorter text


def test_without_places_and_mask_the_order_of_tokens_does_not_matter() -> None:
    model = net(gs.TransformerBlock(8, 2, causal=False), length=None)
    order = np.random.default_rng(3).permutation(LENGTH)
    assert np.allclose(outputs(model, X[:, order]), outputs(model, X)[:, order], rtol=0, atol=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dropout_in_attention_is_drawn_in_training_alone(backend: str) -> None:
    model, loss = net(gs.MultiHeadAttention(8, 2, dropout=0.5)), gs.CrossEntropyLoss()
    values = [gs.value_and_grad(model, loss, X, Y, step=step, backend=backend)[0] for step in (0, 1)]
    assert values[0] != values[1]
    plain = [gs.value_and_grad(model, loss, X, Y, train=False, step=step)[0] for step in (0, 1)]
    assert plain[0] == plain[1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_scores_are_means_over_tokens(backend: str) -> None:
    model = net(gs.TransformerBlock(8, 2))
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend=backend)
    p = trainer.predict_proba(X)
    assert p.shape == (ROWS, LENGTH, TOKENS) and np.allclose(p.sum(axis=2), 1)
    chosen = np.take_along_axis(p, Y[:, :, None], axis=2)
    measures = trainer.evaluate(X, Y)
    assert measures["loss"] == pytest.approx(-np.mean(np.log(chosen)), rel=1e-12)
    assert measures["accuracy"] == pytest.approx(np.mean(trainer.predict(X) == Y))


@pytest.mark.parametrize("name", MODELS)
def test_it_is_saved_and_loaded(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    model.save(tmp_path / "model.safetensors")
    loaded = gs.load(tmp_path / "model.safetensors")
    assert loaded.describe() == model.describe() and repr(loaded) == repr(model)
    assert np.array_equal(outputs(loaded, X), outputs(model, X))


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    def trainer() -> gs.Trainer:
        model = net(gs.TransformerBlock(8, 2, dropout=0.1)).astype("float32")
        return gs.Trainer(model, gs.CrossEntropyLoss(), gs.AdamW(), backend="numba", seed=1, clip_norm=1.0)

    whole, first, second = trainer(), trainer(), trainer()
    whole.fit(X, Y, epochs=4, batch_size=4, verbose=False)
    first.fit(X, Y, epochs=2, batch_size=4, verbose=False)
    first.save(tmp_path / "run.safetensors")
    second.load(tmp_path / "run.safetensors")
    second.fit(X, Y, epochs=2, batch_size=4, verbose=False)
    state = second.model.state_dict()
    assert all(np.array_equal(value, state[name]) for name, value in whole.model.state_dict().items())


def test_summary_shows_a_row_for_each_token() -> None:
    summary = net(gs.TransformerBlock(8, 2)).summary()
    assert [shape for _, _, shape, _ in summary.rows] == [(6, 8), (6, 8), (6, 8), (6, 9)]
    assert "TransformerBlock(features=8, heads=2, hidden=32, causal=True, dropout=0.0)" in str(summary)
    assert [shape for _, _, shape, _ in net(length=None).summary((4,)).rows] == [(4, 8), (4, 8), (4, 9)]
    with pytest.raises(ShapeError, match="input_shape"):
        net(length=None).summary()
    (row,) = gs.MultiHeadAttention(8, 2).summary((8,)).rows
    assert row[2:] == ((8,), 4 * (64 + 8))


def test_memory_is_counted_in_tokens() -> None:
    trainer = gs.Trainer(net(gs.TransformerBlock(8, 2)), gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
    few, more, many = (trainer.memory((X, Y), batch_size=rows)["activations"] for rows in (1, 2, 4))
    assert many - more == 2 * (more - few) > 2 * LENGTH * 8 * 8 * 20
    assert trainer.evaluator(gs.Dataset(X, Y), 12).plan.capacity == 2


def test_refusals() -> None:
    def error(*arguments: Any) -> Any:
        return pytest.raises(arguments[0], match=arguments[1])

    loss, wide = gs.CrossEntropyLoss(), np.zeros((4, LENGTH + 1))
    with error(DataError, r"x\[1, 2\] is 9, expected an integer from 0 to 8"):
        gs.value_and_grad(net(), loss, np.where(np.arange(LENGTH) == 2, [[0], [9]], 0), Y[:2])
    trainer = gs.Trainer(net(), loss, gs.SGD(), backend="numpy")
    with error(DataError, r"x\[0, 1\] is 0.5, expected an integer"):
        trainer.fit(np.full((4, LENGTH), [0, 0.5, 1, 1, 1, 1]), Y[:4], verbose=False)
    with error(DataError, r"x\[0, 0\] is -1, expected an integer"):
        trainer.predict(-np.ones((1, LENGTH)))
    with error(ShapeError, "places for 6 tokens, but gets sequences of 7"):
        trainer.predict(wide)
    with error(ShapeError, r"y have 1 label a row, but the model's outputs are \(6, 9\)"):
        trainer.fit(X, Y[:, 0], verbose=False)
    with error(ShapeError, r"y have 6 labels a row, but the model's outputs are \(9,\)"):
        gs.value_and_grad(gs.Sequential(gs.Linear(LENGTH, TOKENS)), loss, X, Y)
    with error(DataError, r"y\[0, 3\] is 9, expected a label from 0 to 8"):
        trainer.fit(X, np.where(np.arange(LENGTH) == 3, 9, Y), verbose=False)
    with error(ShapeError, r"layer 1: Embedding expects a row of tokens an example, but gets \(6, 8\)"):
        gs.value_and_grad(gs.Sequential(gs.Embedding(TOKENS, 8), gs.Embedding(3, 8)), loss, X, Y)
    with error(ShapeError, "layer 1: MultiHeadAttention expects 4 features"):
        gs.value_and_grad(gs.Sequential(gs.Embedding(TOKENS, 8), gs.MultiHeadAttention(4, 2)), loss, X, Y)
    with error(ShapeError, "layer 1: LayerNorm expects 4 features"):
        gs.value_and_grad(gs.Sequential(gs.Embedding(TOKENS, 8), gs.LayerNorm(4)), loss, X, Y)
    with error(ShapeError, r"Residual: its layers return \(6, 4\) for \(6, 8\)"):
        gs.value_and_grad(gs.Sequential(gs.Embedding(TOKENS, 8), gs.Residual(gs.Linear(8, 4))), loss, X, Y)
    with error(ConfigurationError, "sample weights need one output row per example"):
        trainer.fit(gs.Dataset(X, Y, weight=np.ones(ROWS)), verbose=False)
    x = gs.Input(LENGTH)
    with error(ShapeError, r"Add expects rows of one shape, but gets \(6, 6\) and \(6,\)"):
        gs.Model(x, gs.Add()(gs.Embedding(TOKENS, 6)(x), gs.Linear(6, 6)(x))).summary()
    with error(ShapeError, "Concatenate expects inputs with equal rows per example, but gets 6 and 1"):
        gs.Model(x, gs.Concatenate()(gs.Embedding(TOKENS, 6)(x), gs.Linear(6, 6)(x))).summary()
    for make, message in (
        (lambda: gs.Embedding(0, 3), "num_embeddings is 0"),
        (lambda: gs.Embedding(2, 3, 0), "length is 0"),
        (lambda: gs.LayerNorm(0), "features is 0"),
        (lambda: gs.LayerNorm(3, eps=0), "eps is 0"),
        (lambda: gs.MultiHeadAttention(6, 4), "features is 6; expected a multiple of 4"),
        (lambda: gs.MultiHeadAttention(6, 0), "heads is 0"),
        (lambda: gs.MultiHeadAttention(6, 2, dropout=1.5), "p is 1.5"),
        (lambda: gs.Residual(), "Residual: no layers"),
    ):
        with error(ConfigurationError, message):
            make()
    with error(CheckpointError, "not known here"):
        build({"class": "NoSuch", "dtype": "float32", "arguments": {}})


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_number_that_is_no_token_s_ends_training_where_data_cannot_be_checked(backend: str) -> None:
    """The second of two inputs: the kernel reads nothing outside the table, and the loss names the layer."""
    a, b = gs.Input(3), gs.Input(3)
    joined = gs.Concatenate()(gs.Embedding(4, 5)(a), gs.Embedding(4, 5)(b))
    model = gs.Model([a, b], gs.Linear(10, 3)(joined))
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend=backend)
    x, y = np.zeros((2, 6)), np.zeros((2, 3), dtype=np.int64)
    trainer.fit(x, y, verbose=False)
    x[1, 4] = 4e9
    with pytest.raises(NonFiniteLoss, match="layer '1'"):
        trainer.fit(x, y, verbose=False)


def test_the_example_s_generator_goes_on_with_what_follows_each_character() -> None:
    """A text in which each character decides the next is learnt, and then written."""
    characters, alphabet = example(), "abcde"
    x, y = characters.windows((np.arange(64 * 30 + 1) % 5).astype(np.uint8), characters.LENGTH)
    model = characters.network(5, features=8, heads=2, blocks=1)
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=1e-2), backend="numba")
    trainer.fit(x, y, epochs=30, batch_size=5, verbose=False)
    assert trainer.evaluate(x, y)["loss"] < 0.01
    assert characters.sample(trainer, alphabet, "cd", 70, temperature=0.1) == ("cdeab" * 15)[:72]
