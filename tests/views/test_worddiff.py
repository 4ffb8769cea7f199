"""The word diff: nothing is lost, whatever the texts, and long texts stay quick."""

from __future__ import annotations

import random
import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from paretune.views.worddiff import word_diff

PARTS = st.sampled_from(["the ", "rule ", "a", ".", "\n", "  ", "\r", "é", "語", "\x00", "1"])
TEXTS = st.lists(PARTS, max_size=60).map("".join)


def sides(before: str, after: str) -> tuple[str, str]:
    runs = word_diff(before, after)
    assert all(run.text for run in runs)
    assert all(one.kind != other.kind for one, other in pairwise(runs))
    old = "".join(run.text for run in runs if run.kind != "added")
    return old, "".join(run.text for run in runs if run.kind != "removed")


@given(TEXTS | st.text(), TEXTS | st.text())
def test_both_texts_can_be_read_from_it(before: str, after: str) -> None:
    assert sides(before, after) == (before, after)


def test_an_edit_is_told_by_words() -> None:
    runs = word_diff("Answer in one word.\nBe brief.", "Answer in two words.\nBe brief.")
    assert runs == [
        ("same", "Answer in "),
        ("removed", "one word"),
        ("added", "two words"),
        ("same", ".\nBe brief."),
    ]


def test_long_texts_take_no_time_to_speak_of() -> None:
    rng = random.Random(0)

    def prose(words: int, known: int) -> str:
        return " ".join(f"w{rng.randrange(known)}" for _ in range(words))

    base = prose(4_000, 900)
    edited = base.split()
    for _ in range(80):
        edited[rng.randrange(len(edited))] = "changed"
    unlike = [(prose(5_000, known), prose(5_000, known)) for known in (3, 40, 900, 100_000)]
    for before, after in [(base, " ".join(edited)), *unlike, ("." * 20_000, ".," * 10_000)]:
        began = time.perf_counter()
        assert sides(before, after) == (before, after)
        assert time.perf_counter() - began < 2  # a tenth of that, on a machine that does nothing else
