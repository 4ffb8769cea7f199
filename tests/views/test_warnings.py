"""Warnings: each speaks up where it should, and a clean result has none."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from paretune.core.example import Split
from paretune.core.rollout import Answer, Identity, Rollout, RolloutKey
from paretune.evaluate.facts import rollout_fact
from paretune.views.run_view import RunView, read
from paretune.views.warnings import checked, leaked, needed, warnings
from support.runs import carry, merging

WHO = Identity("task", "1", "policy")


@pytest.fixture(scope="module")
def real() -> RunView:
    finished = asyncio.run(carry(merging(2)))
    return read(finished.store, finished.run_id)


def with_test(view: RunView, before: list[float], after: list[float], **texts: str) -> RunView:
    """The view with these rewards, and inputs, on a test split of as many examples."""
    ids = [f"t{number}" for number in range(len(before))]
    best = view.best
    assert best
    rollouts = view.rollouts.copy()
    for row, rewards in ((view.seed, before), (best, after)):
        for example, reward in zip(ids, rewards, strict=True):
            key = RolloutKey(row.id, example, Split.TEST, 0, WHO)
            shown = texts.get(example, f"question {example}")
            rollouts.add(rollout_fact(Rollout(key, Answer(reward, input=shown)), 1.0))
    return replace(view, rollouts=rollouts, splits={**view.splits, "test": ids})


def with_best(view: RunView, **changes: Any) -> RunView:
    best = view.best
    assert best
    return replace(view, rows={**view.rows, best.id: replace(best, **changes)})


def kinds(view: RunView) -> set[str]:
    return {warned.kind for warned in warnings(view)}


def test_a_clear_gain_has_no_warning_about_its_figures(real: RunView) -> None:
    assert not {"too_few", "noise_floor", "no_test", "missing"} & kinds(
        with_test(real, [0.0] * 40, [1.0] * 40)
    )


def test_too_few_examples_says_how_many_would_do(real: RunView) -> None:
    view = with_test(real, [0.0, 1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 1.0, 1.0])
    found = next(warned for warned in warnings(view) if warned.kind == "too_few")
    assert found.serious
    assert f"at least {needed([1.0, 0, 0, 0, 0])} would be needed" in found.text
    many = with_test(real, [0.0] + [1.0] * 19, [1.0] * 20)
    found = next(warned for warned in warnings(many) if warned.kind == "too_few")
    assert f"about {needed([1.0] + [0.0] * 19)} would be needed" in found.text


def test_pairs_needed() -> None:
    # A gain on one example of ten that nothing else changes: the textbook's (2.8 * 0.316 / 0.1)^2.
    assert needed([1.0] + [0.0] * 9) == 79
    assert needed([1.0, -1.0]) is None
    assert needed([]) is None


def test_nothing_changed_is_said(real: RunView) -> None:
    assert "too_few" in kinds(with_test(real, [1.0] * 8, [1.0] * 8))


def test_no_test_split(real: RunView) -> None:
    assert "no_test" in kinds(replace(real, splits={**real.splits, "test": []}))


def test_a_training_text_among_the_test_examples_is_found(real: RunView) -> None:
    example = real.splits["pareto"][0]
    shown = real.rollouts[real.seed.id, example, 0].answer.input
    view = with_test(real, [0.0] * 3, [1.0] * 3, t1=f"  {shown.upper()} ")
    assert leaked(view) == {"t1": example}
    assert next(w for w in warnings(view) if w.kind == "leakage").serious


def test_inputs_that_nobody_shows_cannot_be_compared(real: RunView) -> None:
    view = with_test(real, [0.0] * 3, [1.0] * 3, t0="", t1="", t2="")
    assert "leakage_unknown" in kinds(view)


def test_nothing_is_said_of_test_inputs_before_anybody_asked(real: RunView) -> None:
    unasked = replace(real, splits={**real.splits, "test": ["t0", "t1"]})
    assert "leakage_unknown" not in kinds(unasked)
    assert "no held-out example among the training ones" not in checked(unasked)


def test_only_what_was_checked_is_named(real: RunView) -> None:
    enough, quiet = "enough held-out examples for the difference", "the difference is above the noise"
    view = with_test(real, [0.0] * 40, [1.0] * 40)
    assert enough in checked(view)
    assert quiet not in checked(view)
    again = view.rollouts.copy()
    for example in view.splits["test"]:
        again.add(
            rollout_fact(Rollout(RolloutKey(view.seed.id, example, Split.TEST, 1, WHO), Answer(0.0)), 1.0)
        )
    assert {enough, quiet} <= set(checked(replace(view, rollouts=again)))
    assert enough not in checked(replace(real, splits={**real.splits, "test": ["t0"]}))
    only_seed = {real.seed.id: real.seed}
    begun = [d for d in real.decisions if d.kind != "best_chosen"]
    assert not checked(replace(real, rows=only_seed, decisions=tuple(begun)))


def test_what_the_seed_was_asked_is_its_input_too(real: RunView) -> None:
    view = with_test(real, [0.0] * 3, [1.0] * 3, t0="", t1="", t2="")
    rollouts = view.rollouts.copy()
    for example, question in (("t0", "Who?"), ("t1", "Where?"), ("t2", "Why?"), ("train", "where? ")):
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}]
        trace = {"event_history": [{"llm_request": {"messages": messages}}]}
        key = RolloutKey(view.seed.id, example, Split.TEST, 0, WHO)
        rollouts.add(rollout_fact(Rollout(key, Answer(0.0, trace=trace)), 1.0))
    splits = {**view.splits, "pareto": ["train"], "reflect": ["train"]}
    assert leaked(replace(view, rollouts=rollouts, splits=splits)) == {"t1": "train"}


def test_repeats_that_change_as_much_as_the_prompt_does(real: RunView) -> None:
    view = with_test(real, [0.0, 1.0] * 10, [1.0, 1.0] + [0.0, 1.0] * 9)
    again = view.rollouts.copy()
    for number, example in enumerate(view.splits["test"]):
        key = RolloutKey(view.seed.id, example, Split.TEST, 1, WHO)
        again.add(rollout_fact(Rollout(key, Answer(float(number % 4 > 1))), 1.0))
    assert "noise_floor" in kinds(replace(view, rollouts=again))


def test_a_lost_placeholder_and_a_long_text(real: RunView) -> None:
    name = next(iter(real.seed.components))
    job = {**real.run.job, "surface": {"placeholders": {name: ["question"]}}}
    view = with_best(replace(real, run=replace(real.run, job=job)), components={name: "word " * 4000})
    assert {"placeholder_lost", "grown"} <= kinds(view)


def test_copied_test_text(real: RunView) -> None:
    said = "the customer of branch seven wants the blue form stamped twice before noon"
    view = with_test(real, [0.0] * 3, [1.0] * 3, t2=said)
    name = next(iter(real.seed.components))
    view = with_best(view, components={**real.seed.components, name: f"Lines.\n{said}\nMore."})
    found = next(warned for warned in warnings(view) if warned.kind == "copied")
    assert found.serious
    assert "a held-out example" in found.text
