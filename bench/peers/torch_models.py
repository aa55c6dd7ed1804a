"""The general models in PyTorch."""

from __future__ import annotations

from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

from .contender import ModelEpochs
from .models import CLASSES, HEADS, TOKENS, VOCABULARY, WIDTH, data, parse
from .networks import BETAS, EPS, LR


class TorchSiLU(nn.Module):
    """x σ(x), as a formula."""

    def forward(self, x: Any) -> Any:
        return x * torch.sigmoid(x)


def huber(output: Any, target: Any) -> Any:
    """d² / 2 up to 1, |d| − 1/2 beyond, as a formula."""
    d = (output - target).abs()
    return torch.where(d <= 1.0, 0.5 * d * d, d - 0.5).mean()


class TorchResidual(nn.Module):
    """x + f(x)."""

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        self.change = nn.Sequential(*modules)

    def forward(self, x: Any) -> Any:
        return x + self.change(x)


class TorchAttention(nn.Module):
    """x + attention of the normalised x, by the fused `scaled_dot_product_attention`."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.joined, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Any) -> Any:
        rows, tokens, _ = x.shape
        parts = self.joined(self.norm(x)).view(rows, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        found = nn.functional.scaled_dot_product_attention(*parts)
        return x + self.out(found.transpose(1, 2).reshape(rows, tokens, WIDTH))


def perceptron(width: int, hidden: int) -> Any:
    """x + an MLP of the normalised x."""
    return TorchResidual(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU("tanh"), nn.Linear(hidden, width))


class TorchTokens(nn.Module):
    """Embeddings, with positions before blocks, and the mean over the tokens after them."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.table, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Parameter(torch.zeros(TOKENS, WIDTH))
        self.positions.requires_grad_(blocks > 0)
        self.blocks = nn.Sequential(
            *(nn.Sequential(TorchAttention(), perceptron(WIDTH, 4 * WIDTH)) for _ in range(blocks))
        )
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Any) -> Any:
        h = self.table(x)
        h = self.blocks(h + self.positions) if len(self.blocks) else h
        return self.head(h.mean(dim=1))


def module(name: str) -> Any:
    """The module of a general model."""
    if name in ("embedding", "transformer"):
        return TorchTokens(2 if name == "transformer" else 0)
    if name == "residual":
        return nn.Sequential(nn.Linear(784, 256), *(perceptron(256, 512) for _ in range(3)), nn.Linear(256, CLASSES))
    inputs, hidden = {"wide": (1024, 2048), "own formulas": (784, 256)}.get(name, (784, 512))
    after = {
        "dropout": lambda: [nn.ReLU(), nn.Dropout(0.2)],
        "batch norm": lambda: [nn.BatchNorm1d(hidden), nn.ReLU()],
        "own formulas": lambda: [TorchSiLU()],
    }.get(name, lambda: [nn.ReLU()])
    first, second = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)
    return nn.Sequential(first, *after(), second, *after(), nn.Linear(hidden, CLASSES))


def initialize(module: Any) -> None:
    """As Gearshift begins: weights by Glorot and Bengio (2010), and biases of 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)


class TorchModelEpochs(ModelEpochs):
    """Rows picked by an index tensor, the fused Adam; the module and its loss are compiled if asked for."""

    def __init__(self, name: str, compiled: bool) -> None:
        torch.manual_seed(0)
        self.model, self.module = parse(name), module(name)
        initialize(self.module)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=LR, betas=BETAS, eps=EPS, fused=True)
        self.x, self.y = map(torch.from_numpy, data(self.model))
        criterion = huber if self.model.values else nn.functional.cross_entropy

        def forward(x: Any, y: Any) -> Any:
            return criterion(self.module(x), y)

        if compiled:
            torch.compiler.reset()
        self.forward = torch.compile(forward, dynamic=False, fullgraph=True) if compiled else forward
        self.total = 0.0

    def run(self) -> None:
        total = torch.zeros(())
        for rows in torch.randperm(len(self.x)).split(self.model.batch):
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.forward(self.x.index_select(0, rows), self.y.index_select(0, rows))
            loss.backward()
            self.optimizer.step()
            total += loss.detach() * len(rows)
        self.total = float(total) / len(self.x)

    def loss(self) -> float:
        return self.total
