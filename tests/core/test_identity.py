"""Content ids, fact keys and random streams: equal for equal content, and the same for ever."""

import dataclasses
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.candidate import Candidate, content_id
from paretune.core.canonical import canonical_json, digest, digest_of_words, stream
from paretune.core.errors import FailureKind
from paretune.core.example import Example, Split
from paretune.core.rollout import Answer, Failure, Identity, Rollout, RolloutKey, RolloutRequest, scores

texts = st.dictionaries(st.text(), st.text(), min_size=1, max_size=5)


@given(st.lists(st.text() | st.text(st.characters(categories=["Cs"])) | st.integers()), st.integers(1, 64))
def test_words_have_the_digest_of_their_list(words: list[str | int], length: int) -> None:
    assert digest_of_words(*words, length=length) == digest(list(words), length)


@given(texts, st.randoms(use_true_random=False))
def test_a_candidate_id_is_its_content_whoever_wrote_it(
    components: dict[str, str], rng: random.Random
) -> None:
    items = list(components.items())
    rng.shuffle(items)
    child = Candidate(dict(items), ("c_1", "c_2"), 4, "merge")
    assert child.id == Candidate(components).id == content_id(components)
    assert hash(child) == hash(Candidate(components))


@given(texts, texts)
def test_different_texts_have_different_ids(one: dict[str, str], other: dict[str, str]) -> None:
    assert (content_id(one) == content_id(other)) == (one == other)


def test_a_candidate_keeps_its_texts_when_the_callers_dict_changes() -> None:
    given_texts = {"instruction": "Answer."}
    candidate = Candidate(given_texts)
    given_texts["instruction"] = "Refuse."
    assert candidate.components == {"instruction": "Answer."}
    with pytest.raises(ValueError, match="at least one component"):
        Candidate({})


def test_stored_ids_and_streams_stay_what_they_are() -> None:
    """Changing any of these orphans stored facts or makes old runs diverge on resume."""
    assert content_id({"instruction": "Classify.", "query": "{text}"}) == "c_50d98682bf7b83b7"
    key = RolloutKey("c_1", "7", Split.PARETO, 0, Identity("task", "evaluator", "policy"))
    assert key.id == "r_0865fb778983a31909b745381c5a34fe"
    assert stream(0, "minibatch").random() == 0.5138924028841492
    assert stream(7, "parent", 3, "x").choices("abcdef", k=4) == ["e", "a", "e", "f"]


def test_streams_are_independent_of_each_other() -> None:
    names: list[tuple[int, str, tuple[int | str, ...]]] = [
        (0, "parent", ()),
        (1, "parent", ()),
        (0, "epoch", ()),
        (0, "parent", (0,)),
        (0, "parent", (1,)),
        (0, "parent", ("1",)),
        (0, "parent", (0, 1)),
        (0, "parent", (1, 0)),
        (0, "parent/1", ()),
    ]
    first = {stream(seed, purpose, *index).random() for seed, purpose, index in names}
    assert len(first) == len(names)
    stream(0, "parent").random()
    assert {stream(seed, purpose, *index).random() for seed, purpose, index in names} == first


def test_canonical_json_has_one_form_and_no_nan() -> None:
    assert canonical_json({"b": [1, None], "a": "é"}) == canonical_json({"a": "é", "b": [1, None]})
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'
    assert len(digest("x", 7)) == 7
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="Out of range"):
            canonical_json([value])


KEY = RolloutKey("c_1", "e_1", Split.PARETO, 0, Identity("task", "v1", "policy"))


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(KEY, candidate="c_2"),
        dataclasses.replace(KEY, example="e_2"),
        dataclasses.replace(KEY, split=Split.REFLECT),
        dataclasses.replace(KEY, replicate=1),
        dataclasses.replace(KEY, identity=Identity("other", "v1", "policy")),
        dataclasses.replace(KEY, identity=Identity("task", "v2", "policy")),
        dataclasses.replace(KEY, identity=Identity("task", "v1", "other")),
        dataclasses.replace(KEY, identity=Identity("taskv1", "", "policy")),
    ],
)
def test_whatever_decides_a_reward_is_part_of_its_key(other: RolloutKey) -> None:
    assert other.id != KEY.id


def test_a_request_knows_its_key() -> None:
    candidate, example = Candidate({"p": "x"}), Example("3", Split.TEST, {"seed": 3})
    key = RolloutRequest(candidate, example, 2).key(KEY.identity)
    assert key == RolloutKey(candidate.id, "3", Split.TEST, 2, KEY.identity)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_reward_is_finite_or_there_is_no_answer(value: float) -> None:
    with pytest.raises(ValueError, match="reward"):
        Answer(value)
    with pytest.raises(ValueError, match="reward"):
        Answer(value, {"reward": 1.0})
    with pytest.raises(ValueError, match="brief"):
        Answer(1.0, {"brief": value})


def test_a_failure_is_never_a_score() -> None:
    failure = Failure(dataclasses.replace(KEY, example="e_2"), FailureKind.TASK_FAILED, "broken")
    assert scores([Rollout(KEY, Answer(0.0)), failure]) == {"e_1": 0.0}
