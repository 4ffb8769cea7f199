"""MIPRO's trials as people see them, and as Optuna's study."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from paretune.core import events
from paretune.core.errors import ParetuneError
from paretune.store import MemoryStore
from paretune.views.evidence import result
from paretune.views.feed import feed
from paretune.views.pipeline import under_way
from paretune.views.run_view import RunView, read
from paretune.views.study import write_study
from paretune.views.trials import main_effects, trials
from support.recorded import record
from support.runs import CASES, JournalStore, begin, carry


@pytest.fixture(scope="module")
def run() -> RunView:
    return record("trials").view


@pytest.mark.parametrize("name", ["trials", "both"])
def test_a_combination_is_its_options(name: str) -> None:
    view = record(name).view
    found = trials(view)
    assert len(found.trials) == len(view.of_kind(events.TrialEnded))
    for one in found.combinations:
        texts = dict(view.run.job["seed"])
        for dimension, number in zip(found.dimensions, one.choice, strict=True):
            texts |= dimension.options[number].texts
        assert texts == view.rows[one.candidate].components
        assert one.examples == len(view.rewards(one.candidate, "pareto"))
        assert one.full == view.rows[one.candidate].mean
        assert [trial.number for trial in one.trials] == sorted(trial.number for trial in one.trials)
    assert sum(len(one.trials) for one in found.combinations) == len(found.trials)


def test_an_estimate_from_all_examples_is_close_to_their_mean(run: RunView) -> None:
    full = [one for one in trials(run).combinations if one.full is not None]
    assert len(full) > 3
    for one in full:
        assert one.estimate == pytest.approx(one.full, abs=0.15)


def test_demonstrations_lead_to_rollouts_that_qualified(run: RunView) -> None:
    found = trials(run)
    shown = [one for d in found.dimensions for option in d.options for one in option.shown]
    assert shown
    for one in shown:
        rollout = run.rollouts.get((found.teacher, one.example, 0))
        assert rollout is not None
        assert rollout.reward >= 1.0 or one.source == "labelled"


def test_shares_find_what_mattered() -> None:
    rng = random.Random(5)
    choices = list(dict.fromkeys((rng.randrange(5), rng.randrange(5)) for _ in range(40)))[:18]
    worth = [0.0, 0.1, 0.2, 0.3, 0.4]
    effects, shares, rest = main_effects([5, 5], choices, [worth[a] for a, _ in choices], [50] * len(choices))
    assert shares[0] > 0.9
    assert rest is not None
    assert sum(shares) + rest == pytest.approx(1.0)
    assert list(effects[0]) == sorted(effects[0])


def test_few_combinations_say_nothing_of_what_mattered() -> None:
    assert main_effects([2, 2], [(0, 0), (1, 1)], [0.1, 0.9], [8, 8]) == ([], [], None)
    choices = [(a, b) for a in range(3) for b in range(3)]
    assert main_effects([3, 3], choices, [0.5] * 9, [8] * 9)[1:] == ([], None)


def test_the_feed_tells_of_each_trial_and_option(run: RunView) -> None:
    lines = [line.text for line in feed(run)]
    for word, kind in (("tried", events.TrialEnded), ("option", events.OptionAdded)):
        assert sum(line.startswith(f"{word} ·") for line in lines) == len(run.of_kind(kind))


def test_a_trial_is_no_proposal(run: RunView) -> None:
    told = result(run)
    assert 0 < told["proposals"] <= run.ledger.role("proposal").calls  # what was known is no option again
    assert told["trials"] == len(run.of_kind(events.TrialEnded))


def test_while_trials_are_out_they_are_under_way_and_the_forecast_holds() -> None:
    case, store = CASES["trials"](3), JournalStore()
    job, proposer = case.job(), case.proposer()
    run_id = begin(store, job, proposer)
    asyncio.run(carry(case, store=store, run_id=run_id))
    end = len(read(store, run_id).ledger.drawn)
    seen = set()
    for commits in range(0, len(store.commits), 25):
        view = read(store.after(run_id, commits), run_id)
        now = under_way(view)
        seen.add(now.trials)
        assert now.gate == 0
        assert now.trials <= job.mipro.at_once  # type: ignore[union-attr]
        if (cast := view.outlook.rollouts) is not None:
            assert cast.low <= end * 1.25
            assert cast.high >= end * 0.8
    assert max(seen) > 0


def test_a_run_of_several_searches_is_over_once() -> None:
    case, store = CASES["both"](3), JournalStore()
    job, proposer = case.job(), case.proposer()
    run_id = begin(store, job, proposer)
    asyncio.run(carry(case, store=store, run_id=run_id))
    log = read(store, run_id).decisions
    ends = [at for at, decision in enumerate(log) if isinstance(decision, events.SearchEnded)]
    assert len(ends) > 1
    assert read(store, run_id).ended == log[ends[-1]]
    trial = next(at for at, decision in enumerate(log) if isinstance(decision, events.TrialStarted))
    commits = next(
        n for n in range(len(store.commits)) if len(store.after(run_id, n).decisions(run_id)) > trial
    )
    midway = read(store.after(run_id, commits), run_id)
    assert midway.ended is None
    assert not under_way(midway).closing


def test_optuna_opens_the_study(run: RunView, tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    file = tmp_path / "study.db"
    assert write_study(run, file) == len(trials(run).combinations)
    study = optuna.load_study(study_name=run.run.id, storage=f"sqlite:///{file}")
    assert run.best is not None
    assert study.best_value == run.best.mean
    for told, one in zip(study.trials, trials(run).combinations, strict=True):
        assert told.value == (one.estimate if one.full is None else one.full)
        assert told.user_attrs["candidate"] == one.candidate
        assert told.user_attrs["examples"] == one.examples
        assert told.intermediate_values == {t.examples: t.estimate for t in one.trials}
        texts = run.rows[one.candidate].components
        assert all(text in str(told.user_attrs) or "\n" in text for text in texts.values())
    with pytest.raises(ParetuneError, match="there already"):
        write_study(run, file)


def test_a_run_without_trials_has_no_study(tmp_path: Path) -> None:
    store = MemoryStore()
    case = CASES["classic"](1)
    view = read(store, begin(store, case.job(), case.proposer()))
    with pytest.raises(ParetuneError, match="no trials"):
        write_study(view, tmp_path / "study.db")
