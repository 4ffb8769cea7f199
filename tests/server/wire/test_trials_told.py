"""MIPRO's jobs on the wire."""

from __future__ import annotations

import pytest

from paretune.core import events
from paretune.core.demonstrations import COMPONENT
from paretune.sdk.results import results
from paretune.server.wire.events import is_terminal
from paretune.server.wire.projection import Projection
from paretune.views.conversation import demonstrations
from support.recorded import Recorded, record


def kinds(run: Recorded) -> list[str]:
    return [told.type for told in run.told()[1]]


@pytest.mark.parametrize("name", ["trials", "both"])
def test_a_fold_goes_on_where_another_one_stopped(name: str) -> None:
    run = record(name)
    whole, told = run.told()
    for stopped in range(0, len(run.log), 19):
        first, second = Projection(run.job, run.run.job), Projection(run.job, run.run.job)
        begun = first.begin() + [event for stored in run.log[:stopped] for event in first.after(stored)]
        for stored in run.log[:stopped]:
            second.after(stored)
        rest = [event for stored in run.log[stopped:] for event in second.after(stored)]
        assert begun + rest + second.ended("succeeded", "", run.view) == told
        assert second.standing == whole.standing


def test_each_trial_is_told_when_it_starts_and_when_it_ends() -> None:
    run = record("trials")
    told = run.told()[1]
    trials = [d for d in run.view.decisions if isinstance(d, events.TrialEnded)]
    for old, new in (("trial.started", "trial.started"), ("trial.complete", "trial.completed")):
        data = [event.data for event in told if event.type == f"mipro.{old}"]
        assert data == [event.data for event in told if event.type == f"learning.policy.mipro.{new}"]
        assert sorted(one["trial"] for one in data) == sorted(trial.step for trial in trials)
    assert [one["minibatch_score"] for one in data] == [trial.mean for trial in trials]


def test_it_ends_once_after_what_older_clients_look_for() -> None:
    run = record("trials")
    told = run.told()[1]
    assert [is_terminal(event) for event in told] == [False] * (len(told) - 1) + [True]
    assert kinds(run)[-2:] == ["prompt.learning.mipro.complete", "learning.policy.mipro.job.completed"]
    done = next(event.data for event in told if event.type == "mipro.job.completed")
    best = run.view.best
    assert best is not None
    assert done["best_score"] == best.mean
    top = next(event.data for event in told if event.type == "mipro.topk.evaluated")
    assert run.view.finished is not None
    assert top["test_score"] == run.view.finished.test[best.id]


@pytest.mark.parametrize("name", ["trials", "both"])
def test_results_are_found_under_the_names_that_clients_read(name: str) -> None:
    run = record(name)
    fold, told = run.told()
    found = results([{"type": event.type, "data": event.data} for event in told], {})
    best, chosen = run.view.best, run.view.chosen
    assert best is not None
    assert chosen is not None
    assert found["best_score"] == best.mean
    texts = {message["name"]: message["content"] for message in found["best_prompt"]["messages"]}
    shown = demonstrations(best.components, run.run.job["surface"])[COMPONENT]
    for number, one in enumerate(shown, 1):
        assert texts.pop(f"{COMPONENT}.{number}.input") == one.plain
        assert texts.pop(f"{COMPONENT}.{number}.output") == one.output
    assert {**texts, COMPONENT: best.components[COMPONENT]} == best.components
    assert [prompt["rank"] for prompt in found["top_prompts"]] == list(range(1, len(chosen.means) + 1))
    assert fold.standing["phase"] == "complete"


def test_between_the_searches_of_one_run_nothing_is_over() -> None:
    run = record("both")
    assert len(run.view.of_kind(events.SearchEnded)) > 1
    assert kinds(run).count("prompt.learning.termination.triggered") == 1
    phases = [
        event.data["to_phase"] for event in run.told()[1] if event.type == "prompt.learning.phase.changed"
    ]
    assert phases == ["bootstrap", "optimization", "test", "complete"]
