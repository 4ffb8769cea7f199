"""Rollouts as facts: canonical however they are written, and the same when they are read again."""

import json

from hypothesis import given
from hypothesis import strategies as st

from paretune.core.canonical import canonical_json
from paretune.core.example import Split
from paretune.core.rollout import Answer, Identity, Rollout, RolloutKey, Usage
from paretune.evaluate.facts import kept_outcome, outcome, rollout_fact
from paretune.store import as_stored
from paretune.store.rows import fact_row

texts = st.text(max_size=8) | st.text(st.characters(categories=["Cs", "Cc"]), max_size=1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
keys = st.builds(
    RolloutKey,
    texts,
    texts,
    st.sampled_from(Split),
    st.integers(0, 3),
    st.builds(Identity, texts, texts, texts),
)
prices = st.none() | st.floats(0, 1e9) | st.integers(0, 5)
answers = st.builds(
    Answer,
    numbers | st.integers(-5, 5),
    objectives=st.just({}) | st.dictionaries(texts, numbers, max_size=2),
    feedback=texts,
    input=texts,
    output=texts,
    expected=texts,
    trace=st.none() | st.dictionaries(texts, texts, max_size=2),
    usage=st.builds(Usage, st.integers(0, 9), st.integers(0, 9), prices),
)


@given(st.builds(Rollout, keys, answers))
def test_a_fact_is_canonical_and_reads_as_what_was_kept(rollout: Rollout) -> None:
    fact = rollout_fact(rollout, 0.5)
    _, _, body, *_ = fact_row(fact)
    escaped = canonical_json(json.loads(body)).encode("utf-8", "backslashreplace").decode()
    assert body == escaped == fact_row(fact._replace(body=dict(fact.body)))[2]
    assert outcome(as_stored(fact)) == kept_outcome(fact, rollout)
