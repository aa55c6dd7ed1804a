"""A small transformer learns the source of one of Python's own modules, character by character, and writes some."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import gearshift as gs

LENGTH = 64  # characters that the model sees at once


def windows(codes: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Stretches of the text side by side, (n, length), and for each of their characters the one that follows."""
    count = (len(codes) - 1) // length
    return codes[: count * length].reshape(count, length), codes[1 : count * length + 1].reshape(count, length)


def network(characters: int, features: int = 64, heads: int = 4, blocks: int = 2, dtype: str = "float32") -> gs.Layer:
    """Logits of the next character, for each character of a sequence."""
    return gs.Sequential(
        gs.Embedding(characters, features, length=LENGTH),
        *(gs.TransformerBlock(features, heads) for _ in range(blocks)),
        gs.LayerNorm(features),
        gs.Linear(features, characters),
        dtype=dtype,
    )


def sample(trainer: gs.Trainer, alphabet: str, prompt: str, count: int, temperature: float = 0.7, seed: int = 0) -> str:
    """The prompt and `count` characters more, each drawn from what the model expects after those before it."""
    random, text = np.random.default_rng(seed), prompt
    for _ in range(count):
        seen = [alphabet.index(character) for character in text[-LENGTH:]]
        # what comes later is not looked at, so the sequence may be filled up with anything
        row = np.array([seen + [0] * (LENGTH - len(seen))], dtype=np.uint8)
        p = trainer.predict_proba(row)[0, len(seen) - 1].astype(np.float64) ** (1 / temperature)
        text += alphabet[random.choice(len(alphabet), p=p / p.sum())]
    return text


def main() -> None:
    text = Path(argparse.__file__).read_text(encoding="utf-8")
    alphabet = "".join(sorted(set(text)))
    x, y = windows(np.array([alphabet.index(character) for character in text], dtype=np.uint8), LENGTH)
    held_out = len(x) // 10
    trainer = gs.Trainer(network(len(alphabet)), gs.CrossEntropyLoss(), gs.AdamW(lr=3e-3), clip_norm=1.0)
    trainer.fit((x[held_out:], y[held_out:]), validation=(x[:held_out], y[:held_out]), epochs=5, batch_size=16)
    measures = trainer.evaluate(x[:held_out], y[:held_out])
    print(f"a character of text not seen: loss {measures['loss']:.3f}, guessed right {measures['accuracy']:.3f}")
    trainer.save("characters.safetensors")
    print(sample(trainer, alphabet, "    def ", 300))


if __name__ == "__main__":
    main()
