"""Weights travel to PyTorch's modules and back: both compute the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gearshift as gs

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

X = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)


def perceptron() -> tuple[gs.Sequential, Any, dict[str, str]]:
    ours = gs.Sequential(gs.Linear(6, 8), gs.BatchNorm1d(8), gs.ReLU(), gs.LayerNorm(8), gs.Linear(8, 3, bias=False))
    nn = torch.nn
    theirs = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 3, bias=False))
    return ours, theirs, {}


def named() -> tuple[gs.Sequential, Any, dict[str, str]]:
    class Module(torch.nn.Module):
        """A module whose layers have names."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(6, 4), torch.nn.Linear(4, 2)

        def forward(self, x: Any) -> Any:
            return self.second(torch.tanh(self.first(x)))

    return gs.Sequential(gs.Linear(6, 4), gs.Tanh(), gs.Linear(4, 2)), Module(), {"0": "first", "2": "second"}


@pytest.mark.parametrize("make", [perceptron, named])
def test_both_directions(make: Any) -> None:
    ours, theirs, names = make()
    theirs.eval()
    with torch.no_grad():
        for tensor in theirs.state_dict().values():
            if tensor.dtype.is_floating_point:
                tensor.copy_(torch.rand(tensor.shape, generator=torch.Generator().manual_seed(1)) + 0.1)
        expected = theirs(torch.from_numpy(X)).numpy()
    gs.load_torch_state_dict(ours, theirs.state_dict(), names)
    np.testing.assert_allclose(ours.outputs(X, backend="numpy"), expected, rtol=1e-5, atol=1e-6)

    ours.init(3)
    assert theirs.load_state_dict(gs.to_torch_state_dict(ours, names)) is not None  # strict
    with torch.no_grad():
        np.testing.assert_allclose(
            theirs(torch.from_numpy(X)).numpy(), ours.outputs(X, backend="numpy"), rtol=1e-5, atol=1e-6
        )


def test_attention() -> None:
    """Tokens of a sequence attend as in torch.nn.MultiheadAttention, of which the weights are one matrix."""
    ours = gs.Sequential(gs.Embedding(5, 8), gs.MultiHeadAttention(8, 2))
    embedding, theirs = torch.nn.Embedding(5, 8), torch.nn.MultiheadAttention(8, 2, batch_first=True)
    state = {f"0.{name}": value for name, value in embedding.state_dict().items()}
    state |= {f"1.{name}": torch.rand(value.shape) for name, value in theirs.state_dict().items()}
    theirs.load_state_dict({name[2:]: value for name, value in state.items() if name[0] == "1"})
    gs.load_torch_state_dict(ours, state)
    tokens = np.random.default_rng(0).integers(0, 5, (3, 4))
    with torch.no_grad():
        x = embedding(torch.from_numpy(tokens))
        expected = theirs(x, x, x)[0].numpy()
    np.testing.assert_allclose(ours.outputs(tokens, backend="numpy"), expected, rtol=1e-5, atol=1e-6)
    back = gs.to_torch_state_dict(ours)
    assert back.keys() == state.keys() and all(torch.equal(back[name], state[name]) for name in state)


def test_what_does_not_fit_changes_nothing() -> None:
    """The message has all tensors that do not fit, with PyTorch's shapes, and what is expected."""
    ours, theirs, _ = perceptron()
    before = ours.state_dict()
    state = theirs.state_dict()
    for changed, message in (
        (
            {name: value for name, value in state.items() if name not in ("4.weight", "1.running_mean")},
            "does not fit the model: missing are '1.running_mean' (8,), '4.weight' (3, 8); the module must have",
        ),
        (
            {**state, "5.weight": state["4.weight"], "6.bias": torch.zeros(2)},
            "without a layer in the model are '5.weight' (3, 8), '6.bias' (2,); ",
        ),
        (
            {**state, "4.weight": state["4.weight"].T, "0.bias": torch.zeros(9)},
            "'0.bias' has shape (9,), expected (8,); '4.weight' has shape (8, 3), expected (3, 8); ",
        ),
    ):
        with pytest.raises(gs.CheckpointError) as raised:
            gs.load_torch_state_dict(ours, changed)
        assert message in str(raised.value)
    assert all(np.array_equal(value, before[name]) for name, value in ours.state_dict().items())


def test_names_that_would_fit_are_suggested() -> None:
    """Where the layers are alike in their order; otherwise the error says how names are given."""
    ours, theirs, names = named()
    with pytest.raises(gs.CheckpointError) as raised:
        gs.load_torch_state_dict(ours, theirs.state_dict())
    assert str(raised.value).endswith("did you mean names={'0': 'first', '2': 'second'}?")
    gs.load_torch_state_dict(ours, theirs.state_dict(), names)
    other = gs.Sequential(gs.Linear(6, 5), gs.Linear(5, 2))
    with pytest.raises(gs.CheckpointError, match="give the names of layers that differ, as names="):
        gs.load_torch_state_dict(other, theirs.state_dict())
    attention = gs.Sequential(gs.Embedding(5, 8), gs.MultiHeadAttention(8, 2))
    with pytest.raises(gs.CheckpointError, match=r"missing are .*'1.in_proj_weight' \(24, 8\)"):
        gs.load_torch_state_dict(attention, {"0.weight": torch.zeros(5, 8)})
