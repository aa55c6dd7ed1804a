"""Rows are drawn as scikit-learn draws them, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from gearshift.dl.data.draws import draw, draw_stratified

SEEDS = st.integers(0, 2**32 - 1)
LABELS = st.lists(st.sampled_from([0, 1, 2, 3, 7]), min_size=2, max_size=60)


@settings(deadline=None)
@given(st.integers(2, 200), SEEDS, st.data())
def test_rows_are_drawn_as_by_scikit_learn(rows: int, seed: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, rows - 1))
    stay, aside = draw(rows, size, seed)
    expected = train_test_split(np.arange(rows), test_size=size, random_state=seed)
    assert [stay.tolist(), aside.tolist()] == [*map(list, expected)]


@settings(deadline=None, max_examples=300)
@given(LABELS, SEEDS, st.data())
def test_stratified_rows_are_drawn_as_by_scikit_learn(labels: list[int], seed: int, data: st.DataObject) -> None:
    """In the same order where they stay, since the next draw depends on it; refused where scikit-learn refuses."""
    y, size = np.array(labels), data.draw(st.integers(1, len(labels) - 1))
    try:
        expected = train_test_split(np.arange(len(y)), test_size=size, random_state=seed, stratify=y)
    except ValueError:
        with pytest.raises(ValueError, match="no part may lack a label"):
            draw_stratified(y, size, seed)
        return
    stay, aside = draw_stratified(y, size, seed)
    assert stay.tolist() == [*expected[0]]
    assert sorted(aside.tolist()) == sorted(expected[1])


def test_of_more_labels_than_rows_to_set_aside_none_is_chosen() -> None:
    y = np.repeat(np.arange(5), 10)
    for size in (4, 46):
        with pytest.raises(ValueError, match="no part may lack a label"):
            draw_stratified(y, size, 0)
