"""Philox: Random123's known answers, and the streams, numbers and orders made from it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gearshift.backends.philox import DROPOUT, INITIALIZE, SHUFFLE, key_of, normal, permutation, philox, uniform, words


@pytest.mark.parametrize(
    ("counter", "key", "want"),
    [
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_known_answers(counter: list[int], key: list[int], want: str) -> None:
    """Random123's vectors (kat_vectors, philox4x32 10)."""
    assert " ".join(f"{int(word):08x}" for word in philox(*map(np.uint64, counter), *map(np.uint64, key))) == want


def in_python(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 in integers, as the paper has it."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = b >> 32 ^ c1 ^ k0, b & 0xFFFFFFFF, a >> 32 ^ c3 ^ k1, a & 0xFFFFFFFF
        k0, k1 = k0 + 0x9E3779B9 & 0xFFFFFFFF, k1 + 0xBB67AE85 & 0xFFFFFFFF
    return [c0, c1, c2, c3]


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**64 - 1),
    count=st.integers(0, 40),
    purpose=st.sampled_from([INITIALIZE, SHUFFLE, DROPOUT]),
    stream=st.integers(0, 2**24 - 1),
    step=st.integers(0, 2**63 - 1),
)
def test_words_are_the_blocks_of_their_counter(seed: int, count: int, purpose: int, stream: int, step: int) -> None:
    key = [seed % 2**32, seed >> 32]
    rest = [purpose + 256 * stream, step % 2**32, step >> 32]
    want = [word for block in range((count + 3) // 4) for word in in_python([block, *rest], key)][:count]
    assert words(np, key_of(seed), count, purpose, stream, step).tolist() == want


def test_key_is_the_seed_low_word_first() -> None:
    assert key_of(0x0123456789ABCDEF).tolist() == [0x89ABCDEF, 0x01234567]
    assert key_of(2**64 - 1).tolist() == [2**32 - 1] * 2
    assert key_of(5).dtype == np.uint32


def test_uniform_has_the_moments_of_its_distribution() -> None:
    """Mean, variance, correlation of neighbours and eight equal bins of 2²⁰ numbers, within five standard errors."""
    n = 1 << 20
    u = uniform(key_of(7), n, INITIALIZE, 3)
    assert u.min() >= 0
    assert u.max() < 1
    assert np.array_equal(u * 2**24, np.round(u * 2**24))
    assert abs(u.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / n)
    assert abs(u.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / n)
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 5 / np.sqrt(n)
    assert np.all(abs(np.bincount((u * 8).astype(int)) - n / 8) < 5 * np.sqrt(n * 7 / 64))


@pytest.mark.parametrize("count", [0, 1, 7, 1 << 18])
def test_normal_has_the_moments_of_its_distribution(count: int) -> None:
    z = normal(key_of(11), count, INITIALIZE, 0)
    assert z.shape == (count,)
    assert np.all(np.isfinite(z))
    if count > 100:
        assert abs(z.mean()) < 5 / np.sqrt(count)
        assert abs(z.var() - 1) < 5 * np.sqrt(2 / count)
        assert abs((z**4).mean() - 3) < 5 * np.sqrt(96 / count)


def test_streams_steps_and_seeds_differ() -> None:
    drawn = [
        words(np, key_of(seed), 64, purpose, stream, step).tobytes()
        for seed in (0, 1, 1 << 32)
        for purpose in (INITIALIZE, SHUFFLE, DROPOUT)
        for stream in (0, 1)
        for step in (0, 1, 1 << 32)
    ]
    assert len(set(drawn)) == len(drawn)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**64 - 1), count=st.integers(0, 300), epoch=st.integers(0, 1000))
def test_permutation_holds_each_row_once_in_the_order_of_its_words(seed: int, count: int, epoch: int) -> None:
    order = permutation(np, key_of(seed), count, epoch)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(count))
    w = words(np, key_of(seed), 2 * count, SHUFFLE, 0, epoch).tolist()
    assert order.tolist() == sorted(range(count), key=lambda i: (w[2 * i], w[2 * i + 1]))


def test_rows_with_equal_words_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    few = np.random.default_rng(0).integers(0, 4, 2 * 500, dtype=np.uint64)
    monkeypatch.setattr("gearshift.backends.philox.words", lambda *_: few)
    order = permutation(np, key_of(0), 500, 0).tolist()
    assert order == sorted(range(500), key=lambda i: (few[2 * i], few[2 * i + 1]))


def test_permutation_differs_by_epoch_and_by_seed() -> None:
    orders = [permutation(np, key_of(seed), 100, epoch).tobytes() for seed in (0, 1) for epoch in range(20)]
    assert len(set(orders)) == len(orders)


def test_every_place_is_as_likely_for_every_row() -> None:
    """Where row 0 comes, over 4,000 epochs of 8 rows: 500 times at each place, within five standard errors."""
    places = np.bincount([int(np.flatnonzero(permutation(np, key_of(3), 8, e) == 0)[0]) for e in range(4000)])
    assert np.all(abs(places - 500) < 5 * np.sqrt(4000 * 7 / 64))
