"""What a search keeps of its rollouts is little, and shows what keeping all of them would."""

import math

from hypothesis import given
from hypothesis import strategies as st

from paretune.algorithms.notebook import TOLD, Notebook, TurnedDown
from paretune.algorithms.rewards import Rewards
from paretune.core.candidate import Candidate, content_id
from paretune.core.errors import FailureKind
from paretune.core.example import Example, Split
from paretune.core.rollout import Answer, Failure, Identity, Outcome, Rollout, RolloutKey
from paretune.propose.base import Evidence, Tried

SHOWN = tuple(Example(f"e{n}", Split.REFLECT) for n in range(5))
WHO = Identity("task", "1", "policy")
asked = st.lists(st.tuples(st.sampled_from("abc"), st.lists(st.integers(0, 6), unique=True)), max_size=12)


def rollout(candidate: str, number: int) -> Outcome:
    key = RolloutKey(candidate, f"e{number}", Split.REFLECT, 0, WHO)
    if (ord(candidate) + number) % 5 == 0:
        return Failure(key, FailureKind.TIMEOUT, "too late")
    return Rollout(key, Answer(number / 6, input=f"question {number}", output=f"{candidate} says {number}"))


@given(asked)
def test_a_notebook_shows_of_each_example_whoever_was_asked_for_anything_first(
    batches: list[tuple[str, list[int]]],
) -> None:
    notes, lines = Notebook(SHOWN, 1.0), dict[str, dict[str, Evidence]]()
    for candidate, numbers in batches:
        outcomes = [rollout(candidate, n) for n in numbers]
        shown = [o for o in outcomes if isinstance(o, Rollout) and o.example in {e.id for e in SHOWN}]
        assert notes.keep(candidate, outcomes) == {o.example: o.reward for o in shown}
        evidence = notes.evidence(outcomes)
        assert [e.output for e in evidence] == [o.answer.output for o in shown]
        lines.setdefault(candidate, {}).update(zip((e.example for e in evidence), evidence, strict=True))
    found: dict[str, Evidence] = {}
    for line in lines.values():
        found = line | found
    assert notes.besides(["e1"]) == tuple(found[e.id] for e in SHOWN if e.id in found and e.id != "e1")
    for e in SHOWN:
        said = {found[e.id].input, found[e.id].expected} if e.id in found else set()
        assert notes.texts().said_by([e.id]) == said


@given(st.lists(st.lists(st.none() | st.floats(-1, 1), min_size=3, max_size=3), min_size=1, max_size=3))
def test_kept_rewards_are_those_of_the_scored_examples_in_their_order(rows: list[list[float | None]]) -> None:
    columns: dict[str, int] = {}
    for row in rows:
        outcomes: list[Outcome] = []
        for number, reward in enumerate(row):
            key = RolloutKey("c", f"e{number}", Split.PARETO, 0, WHO)
            failed = Failure(key, FailureKind.TIMEOUT, "too late")
            outcomes.append(failed if reward is None else Rollout(key, Answer(reward)))
        kept = Rewards(outcomes, columns)
        columns = dict(kept.columns)
        wanted = {f"e{number}": reward for number, reward in enumerate(row) if reward is not None}
        assert list(kept.items()) == list(kept.plain().items()) == list(wanted.items())
        assert (len(kept), "e9" in kept) == (len(wanted), False)
        assert not any(math.isnan(reward) for reward in kept.values())


def test_of_proposals_that_were_turned_down_the_newest_keep_their_texts_and_all_their_reason() -> None:
    parent, down = Candidate({"text": "Answer.", "format": "JSON"}), TurnedDown()
    for number in range(2 * TOLD):
        down.add(parent, Tried({"text": f"Answer {number}."}, f"reason {number}"))
    down.add(parent, Tried({"text": "Answer 3."}, "another"))
    down.add(parent, Tried({}, "unfenced"))
    assert len(down.newest) == TOLD
    assert down.newest[-2].reason == "another"
    assert down.why[content_id({"text": "Answer 3.", "format": "JSON"})] == "reason 3"
    assert len(down.why) == 2 * TOLD


def test_reasons_stay_as_they_stood_and_have_no_order() -> None:
    parent = Candidate({"text": "Answer."})
    rows = [Tried({"text": f"Answer {number}."}, f"reason {number}") for number in range(4)]
    down, other = TurnedDown(), TurnedDown()
    for row in rows[:3]:
        down.add(parent, row)
    stood = down.why
    down.add(parent, rows[3])
    later = content_id({"text": "Answer 3."})
    assert (len(stood), later in stood, list(stood)) == (3, False, list(down.why)[:3])
    assert down.why[later] == "reason 3"
    assert stood.total != down.why.total
    for row in reversed(rows):
        other.add(parent, row)
    assert other.why.total == down.why.total
    assert dict(other.why) == dict(down.why)
