"""Minibatches of a line of heads: failures come back, and no example is kept from its turn."""

from itertools import cycle

from hypothesis import given
from hypothesis import strategies as st

from paretune.algorithms.mixture import Mixture
from paretune.core.example import Example, Split
from paretune.core.sampling import minibatch
from support.rulebook import example

sizes = st.integers(1, 9)


def _examples(count: int) -> list[Example]:
    return [example(Split.REFLECT, i) for i in range(count)]


def _by_epochs(examples: list[Example], size: int) -> Mixture:
    numbers = iter(range(10_000))
    return Mixture(examples, size, 1.0, lambda: minibatch(examples, size, next(numbers), seed=7))


@given(st.integers(1, 20), sizes, st.integers(1, 12))
def test_where_nothing_failed_minibatches_are_the_epochs(count: int, size: int, steps: int) -> None:
    examples = _examples(count)
    mixture = _by_epochs(examples, size)
    mixture.saw({e.id: 1.0 for e in examples})
    drawn = [list(mixture.draw(step, rest=1)) for step in range(1, steps + 1)]
    assert drawn == [minibatch(examples, size, i, seed=7) for i in range(steps)]


@given(st.integers(1, 20), sizes, st.integers(0, 4), st.data())
def test_failures_keep_no_example_from_its_turn(
    count: int, size: int, rest: int, data: st.DataObject
) -> None:
    examples = _examples(count)
    mixture = _by_epochs(examples, size)
    size = min(size, count)
    epoch, by_epochs = -(-count // size) * size, size - size // 2
    never = set(examples)
    for step in range(1, 1 + -(-epoch // by_epochs)):
        drawn = mixture.draw(step, rest)
        assert len(set(drawn)) == len(drawn) == size
        mixture.saw({e.id: data.draw(st.sampled_from([0.0, 0.5, 1.0])) for e in drawn})
        never -= set(drawn)
    assert not never


@given(st.integers(0, 6), sizes, st.integers(0, 4), st.data())
def test_up_to_half_are_rested_failures_longest_ago_first(
    fails: int, size: int, rest: int, data: st.DataObject
) -> None:
    """Failures are not due by epochs here, so whichever is drawn was drawn because it failed."""
    failing, due = _examples(fails + 9)[:fails], cycle(_examples(fails + 9)[fails:])
    mixture = Mixture(_examples(fails + 9), size, 1.0, lambda: [next(due)])
    rewards: dict[str, float] = {}
    last: dict[str, int] = {}
    for step in range(1, 9):
        told = (
            data.draw(st.dictionaries(st.sampled_from(failing), st.sampled_from([0.0, 0.9, 1.0])))
            if fails
            else {}
        )
        rewards |= {e.id: reward for e, reward in told.items()}
        mixture.saw({e.id: reward for e, reward in told.items()})
        drawn = [e.id for e in mixture.draw(step, rest) if e in failing]
        rested = [e for e, r in rewards.items() if r < 1.0 and step - last.get(e, -99) > rest]
        assert set(drawn) <= set(rested)
        assert len(drawn) == min(size // 2, len(rested))
        others = [last.get(e, -99) for e in rested if e not in drawn]
        assert max((last.get(e, -99) for e in drawn), default=-99) <= min(others, default=99)
        last |= dict.fromkeys(drawn, step)
