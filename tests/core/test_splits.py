import pytest

from paretune.core.errors import Misconfigured
from paretune.core.example import Example, Split, Splits


def examples(split: Split, ids: str) -> tuple[Example, ...]:
    return tuple(Example(i, split) for i in ids)


def split_up(reflect: str = "ab", pareto: str = "cd", select: str = "ef", test: str = "gh") -> Splits:
    return Splits(
        examples(Split.REFLECT, reflect),
        examples(Split.PARETO, pareto),
        examples(Split.SELECT, select),
        examples(Split.TEST, test),
    )


def test_disjoint_splits_pass() -> None:
    splits = split_up()
    assert not splits.shared
    assert [e.id for e in splits.all()] == list("abcdefgh")


def test_reflect_and_pareto_may_be_the_same_examples() -> None:
    both = examples(Split.REFLECT, "ab")
    splits = Splits(both, both)
    assert splits.shared
    assert splits.all() == both


@pytest.mark.parametrize(
    ("splits", "named"),
    [
        ({"reflect": "abc", "pareto": "bcd", "select": "x", "test": "y"}, ["b", "c"]),
        ({"select": "aef"}, ["a"]),
        ({"select": "def"}, ["d"]),
        ({"test": "bgh"}, ["b"]),
        ({"test": "cgh"}, ["c"]),
        ({"test": "efg"}, ["e", "f"]),
    ],
    ids=lambda value: "-".join(value),
)
def test_overlaps_are_errors_that_name_the_examples(splits: dict[str, str], named: list[str]) -> None:
    with pytest.raises(Misconfigured, match=f"share the examples {', '.join(named)};") as caught:
        split_up(**splits)
    assert caught.value.field.startswith("splits ")


def test_a_long_overlap_is_cut_and_says_so() -> None:
    with pytest.raises(Misconfigured, match=r"a, b, c, d, e, f, g, h, i, j, \.\.\.;"):
        split_up(reflect="abcdefghijkl", pareto="z", select="", test="lkjihgfedcba")


@pytest.mark.parametrize("name", ["reflect", "pareto", "select", "test"])
def test_an_example_listed_twice_is_named(name: str) -> None:
    with pytest.raises(Misconfigured, match=f"split {name}: example 'z' is listed twice"):
        split_up(**{name: "zyz"})


@pytest.mark.parametrize("empty", ["reflect", "pareto"])
def test_there_must_be_something_to_learn_from(empty: str) -> None:
    with pytest.raises(Misconfigured, match="no examples"):
        split_up(**{empty: ""})
