from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.sampling import deal, minibatch


@given(st.integers(1, 20), st.integers(1, 25), st.integers(0, 3), st.integers(0, 5))
def test_an_epoch_holds_each_item_once_and_fills_up_its_last_minibatch(
    count: int, size: int, epoch: int, seed: int
) -> None:
    items = [str(i) for i in range(count)]
    width = min(size, count)
    parts = -(-count // width)
    drawn = [minibatch(items, size, epoch * parts + part, seed=seed) for part in range(parts)]
    assert all(len(batch) == len(set(batch)) == width for batch in drawn)
    flat = [item for batch in drawn for item in batch]
    assert sorted(flat[:count]) == sorted(items)
    assert flat[count:] == flat[: parts * width - count]


def test_minibatches_are_reproducible_and_epochs_differ() -> None:
    items = list(range(30))
    epochs = [tuple(minibatch(items, 30, i, seed=1)) for i in range(5)]
    assert len(set(epochs)) == 5
    assert epochs == [tuple(minibatch(items, 30, i, seed=1)) for i in range(5)]
    assert epochs[0] != tuple(minibatch(items, 30, 0, seed=2))
    assert items == list(range(30))


@given(st.integers(0, 12), st.data())
def test_dealing_keeps_everything_and_the_order(count: int, data: st.DataObject) -> None:
    items = [f"x{i}" for i in range(count)]
    wanted = data.draw(st.integers(0, count))
    picked, rest = deal(items, wanted, seed=data.draw(st.integers(0, 3)), purpose="pareto")
    assert len(picked) == wanted
    assert Counter(picked + rest) == Counter(items)
    assert sorted(picked, key=items.index) == picked
    assert sorted(rest, key=items.index) == rest


def test_every_item_is_dealt_equally_often() -> None:
    dealt = Counter(item for seed in range(2000) for item in deal("abcde", 2, seed=seed, purpose="p")[0])
    assert all(count == pytest.approx(800, abs=100) for count in dealt.values())
    assert len(dealt) == 5
