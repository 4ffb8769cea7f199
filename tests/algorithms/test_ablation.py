from __future__ import annotations

import json
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from paretune.algorithms.ablation import LEAST, LONGEST_WAIT, MOST_AT_ONCE, Ablation, without

FIRST = {"system": "Be brief.\nAnswer {question}.\n", "style": "Be kind.\n"}
WRITTEN = [f"- rule {n}\n" for n in range(12)]
GROWN = {"system": FIRST["system"] + "".join(WRITTEN[:8]), "style": FIRST["style"] + "".join(WRITTEN[8:])}


@given(st.lists(st.booleans(), max_size=12), st.integers(0, 2**32))
def test_only_lines_of_the_searchs_own_are_left_out_and_the_rest_stays_as_it_was(
    fates: list[bool], seed: int
) -> None:
    ablation, step = Ablation(FIRST), 0
    for won in fates:
        texts = ablation.begin(step, GROWN, Random(seed))
        assert texts is not None
        assert list(texts) == list(GROWN)
        left, gone = [], []
        for name, text in GROWN.items():
            kept = texts[name].splitlines(keepends=True)
            assert set(FIRST[name].splitlines(keepends=True)) <= set(kept)
            assert [line for line in text.splitlines(keepends=True) if line in kept] == kept
            left += kept
            gone += [line for line in text.splitlines(keepends=True) if line not in kept]
        assert 1 <= len(gone) <= MOST_AT_ONCE
        ablation.end(step, won=won)
        assert ablation.due is not None
        assert 2 <= ablation.due - step <= LONGEST_WAIT
        assert ablation.begin(ablation.due - 1, GROWN, Random(seed)) is None
        step = ablation.due


def test_one_attempt_at_a_time() -> None:
    ablation = Ablation(FIRST)
    assert ablation.begin(1, GROWN, Random(0))
    assert ablation.begin(100, GROWN, Random(0)) is None
    ablation.end(100, won=False)
    assert ablation.begin(100 + LONGEST_WAIT, GROWN, Random(0))


def test_first_go_the_lines_that_were_tried_least_and_gained_least() -> None:
    ablation = Ablation(FIRST, size=2, wait=2)
    texts = dict(FIRST)
    for number, line in enumerate(WRITTEN):
        grown = {**texts, "system": texts["system"] + line}
        gained = ["one", "two"] if number not in (3, 5, 7) else ["one"] if number != 5 else []
        ablation.wrote(texts, grown, gained)
        texts = grown
    first = ablation.begin(0, texts, Random(0))
    assert first is not None
    gone = [line for line in WRITTEN if line not in first["system"].splitlines(keepends=True)]
    assert WRITTEN[5] in gone
    assert len(gone) == 2
    assert set(gone) <= {WRITTEN[n] for n in (3, 5, 7)}
    ablation.end(0, won=False)
    second = ablation.begin(9, texts, Random(0))
    assert second is not None
    assert all(line in second["system"] for line in gone)


def test_successes_make_it_bolder_and_more_frequent() -> None:
    ablation = Ablation(FIRST)
    for step in (0, 8, 16):
        assert ablation.begin(step, GROWN, Random(0))
        ablation.end(step, won=True)
    assert (ablation.size, ablation.wait) == (6, 2)


def test_json_and_texts_with_few_lines_of_their_own_are_left_alone() -> None:
    values = json.dumps({"rules": ["a", "b", "c", "d", "e"]}, indent=1)
    assert Ablation({"rules": "{}"}).begin(0, {"rules": values}, Random(0)) is None
    short = {**FIRST, "style": FIRST["style"] + "".join(WRITTEN[: LEAST - 1])}
    assert Ablation(FIRST).begin(0, short, Random(0)) is None


@example(text="\r\rb\n\na", gone={"b"})
@given(
    st.text(alphabet="ab \n\r\u2028", max_size=30), st.sets(st.sampled_from(["a", "b", "ab", "ba ", " b"]))
)
def test_the_lines_that_are_left_are_those_of_the_text_and_it_ends_as_it_did(
    text: str, gone: set[str]
) -> None:
    left = without(text, gone)
    assert without(text, set()) == text
    stay = [line for line in text.splitlines() if line not in gone]
    assert "\n".join(left.splitlines()).rstrip("\n") == "\n".join(stay).rstrip("\n")
    if left:
        assert (left.splitlines(keepends=True)[-1] in left.splitlines()) == (
            text.splitlines(keepends=True)[-1] in text.splitlines()
        )
