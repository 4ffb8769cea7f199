"""What holds for every run: counts, balance, repeatability, resume, secrecy and honest cells."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import paretune
from paretune.core import events
from paretune.core.budget import POLICY, Ledger
from paretune.core.errors import AttemptFailed, FailureKind
from paretune.core.example import Split
from paretune.core.rollout import Rollout
from paretune.engine.run import Live, Runner, Watch
from paretune.engine.verify import check_record
from paretune.evaluate.executors import Dispatch
from paretune.evaluate.facts import outcome
from paretune.propose.base import Packet, Proposal, Proposer
from paretune.propose.reflect import ReflectiveProposer
from paretune.store import MemoryStore
from paretune.views.run_view import RunView, read
from support.digests import fingerprint
from support.rulebook import Fails, RulebookExecutor, ScriptedModel, canaries, dice
from support.runs import (
    ASYNC,
    CASES,
    CHEAP,
    SYNC,
    Finished,
    JournalStore,
    begin,
    carry,
    first_difference,
)
from support.search import searched

SEEDS = (0, 1, 3)
EVERY = [pytest.param(name, seed, id=f"{name}-{seed}") for name in CASES for seed in SEEDS]
each_case = pytest.mark.parametrize(("name", "seed"), EVERY)
each_sync_case = pytest.mark.parametrize(("name", "seed"), [p for p in EVERY if p.values[0] in SYNC])
each_async_case = pytest.mark.parametrize(("name", "seed"), [p for p in EVERY if p.values[0] in ASYNC])


@functools.cache
def finished(name: str, seed: int) -> Finished:
    """The uninterrupted run, once per process; nobody writes to its store."""
    return asyncio.run(carry(CASES[name](seed), store=JournalStore()))


def viewed(name: str, seed: int) -> RunView:
    run = finished(name, seed)
    return read(run.store, run.run_id)


# -- ledger equals independently counted calls -------------------------------------------------------


@each_case
def test_the_ledger_equals_the_calls_that_the_task_counted(name: str, seed: int) -> None:
    run, view = finished(name, seed), viewed(name, seed)
    assert set(run.executor.calls.values()) == {1}
    assert len(run.executor.calls) == len(view.ledger.drawn)
    assert len(view.rollouts) + len(view.cheap) == len(view.ledger.drawn)
    assert bool(view.cheap) == ("screened" in name)
    cap = view.run.job["limits"]["rollouts"]
    assert len(view.ledger.drawn) <= cap
    for role, rollouts in (("rollout", view.rollouts), ("proxy", view.cheap)):
        paid = [rollout.answer.usage for rollout in rollouts.values()]
        assert view.ledger.role(role).calls == len(rollouts)
        assert view.ledger.role(role).cost_usd == pytest.approx(sum(u.cost_usd or 0 for u in paid))
        assert view.ledger.role(role).tokens == sum(u.tokens for u in paid)


@each_case
def test_the_live_ledger_and_the_one_read_from_the_record_agree(name: str, seed: int) -> None:
    case, store = CASES[name](seed), MemoryStore()
    job, proposer = case.job(), case.proposer()
    run_id = begin(store, job, proposer)
    seen: list[Ledger] = []
    watch = Watch(live=lambda live: seen.append(live.ledger))
    asyncio.run(Runner(store, run_id, job, RulebookExecutor(case.book), proposer, watch=watch).run())
    assert {**_counts(seen[0])} == {**_counts(read(store, run_id).ledger)}
    assert seen[0].drawn == read(store, run_id).ledger.drawn


def _counts(ledger: Ledger) -> dict[str, tuple[int, ...]]:
    return {
        role: (spent.calls, spent.reused, spent.failed, spent.lost, spent.tokens)
        for role, spent in ledger.by_role.items()
    }


# -- candidates = 1 + accepted, events balanced ------------------------------------------------------


@each_sync_case
def test_candidates_are_the_seed_and_whoever_passed_the_gate(name: str, seed: int) -> None:
    view, result = viewed(name, seed), finished(name, seed).result()
    passed = [d for d in view.decisions if isinstance(d, events.GateDecided) and d.passed]
    admitted = [d.candidate for d in view.decisions if isinstance(d, events.CandidateAdmitted)]
    deferred = {d.child for d in view.decisions if isinstance(d, events.EvaluationDeferred)} - set(admitted)
    stopped = [d.candidate for d in view.decisions if isinstance(d, STOPPING) and d.stopped]
    assert not set(admitted) & set(stopped)
    deferred -= set(stopped)
    assert len(admitted) + len(deferred) + len(stopped) == 1 + len(passed)
    assert len(set(admitted)) == len(admitted)
    assert result["candidates"] == 1 + result["accepted"] - len(deferred) - len(stopped)
    assert check_record(finished(name, seed).store, view.run.id) == []


STOPPING = (events.RungEnded, events.ProxyDecided)
ENDS = frozenset({"skipped", "rejected", "gate:no", "admitted", "deferred", "stopped", "end"})
"""The last word of a step. A retirement follows an admission and ends nothing."""


def _without_late_admissions(view: RunView) -> Iterator[events.Decision]:
    """What was put off may be made up for later; that belongs to no step of its own. A rung after which the
    evaluation goes on ends nothing."""
    waiting, late = set[str](), False
    for decision in view.decisions:
        if isinstance(decision, events.EvaluationDeferred):
            waiting.add(decision.child)
        if isinstance(decision, STOPPING) and (decision.candidate in waiting or not decision.stopped):
            continue
        if isinstance(decision, events.ProxyCalibrated):
            continue
        if isinstance(decision, events.CandidateAdmitted) and decision.candidate in waiting:
            waiting.remove(decision.candidate)
            late = True
        elif not (late and isinstance(decision, events.CandidateRetired)):
            late = False
            yield decision


@each_sync_case
def test_every_step_ends_in_exactly_one_way(name: str, seed: int) -> None:
    steps = defaultdict(list)
    order = []
    for decision in _without_late_admissions(viewed(name, seed)):
        step = getattr(decision, "step", None)
        if step is not None:
            steps[step].append(_word(decision))
            order.append(step)
    assert order == sorted(order)
    assert list(steps) == list(range(len(steps)))
    assert steps.pop(0) == ["admitted"]
    assert steps.popitem()[1][-1] == "end"
    for step, words in steps.items():
        ends = [word for word in words if word in ENDS]
        assert len(ends) == 1, (step, words)
        assert words in [way for way in _WAYS if way[-1] == words[-1]], (step, words)


@each_async_case
def test_every_step_of_a_lane_ends_and_every_head_passed_a_gate(name: str, seed: int) -> None:
    view = viewed(name, seed)
    steps: dict[int, list[str]] = defaultdict(list)
    heads: dict[str, str] = {view.seed.id: "seed"}
    passed: set[str] = set()
    for decision in view.decisions:
        match decision:
            case events.StepStarted(step=step):
                steps[step].append("start")
            case events.StepSkipped(step=step, reason=reason) if reason != "nothing_scored":
                steps[step].append("end")
            case events.ProposalRejected(step=step, reason=reason):
                steps[step] += ["end"] if reason != "clash" else []  # asked again, from the new head
            case events.SearchEnded(step=step):
                steps[step] += ["end"] if steps[step] == ["start"] else []
            case events.GateDecided(step=step, child=child, passed=True):
                passed.add(child)
            case events.GateDecided(step=step):
                steps[step].append("end")
            case events.CandidateAdmitted(candidate=child, origin="trial"):
                passed.add(child)  # no gate: a combination that its trials spoke for, and a full evaluation
            case events.HeadMoved(step=step, head=head, reason=reason):
                if reason in ("accepted", "joined"):
                    steps[step].append("end")
                    assert head in passed if reason == "accepted" else decision.parents[1] in passed
                else:
                    assert head in heads or head in passed
                heads[head] = reason
            case _:
                pass
    assert all(words in (["start", "end"], ["end"], ["start"], []) for words in steps.values()), steps
    unended = [step for step, words in steps.items() if words == ["start"]]
    measured = {d.step for d in view.decisions if isinstance(d, events.CandidateAdmitted)}
    put_off = {d.step for d in view.decisions if isinstance(d, events.EvaluationDeferred)}
    stopped = {d.step for d in view.decisions if isinstance(d, STOPPING) and d.stopped}
    # A child of the frontier that passed is measured, until it is stopped.
    assert set(unended) <= measured | put_off | stopped
    assert check_record(finished(name, seed).store, view.run.id) == []


def test_the_cases_do_exercise_joins_fallbacks_plateaus_and_validations() -> None:
    heads, kinds = Counter[str](), Counter[str]()
    for name in ASYNC:
        for seed in SEEDS:
            view = viewed(name, seed)
            heads.update(d.reason for d in view.decisions if isinstance(d, events.HeadMoved))
            kinds.update(decision.kind for decision in view.decisions)
    assert {"accepted", "joined", "fallback", "won"} <= set(heads), heads
    assert kinds["validation_ended"] > 3


def _word(decision: events.Decision) -> str:
    if isinstance(decision, events.GateDecided):
        return "gate:yes" if decision.passed else "gate:no"
    return {
        "step_started": "start",
        "step_skipped": "skipped",
        "proposal_rejected": "rejected",
        "child_proposed": "child",
        "candidate_admitted": "admitted",
        "evaluation_deferred": "deferred",
        "rung_ended": "stopped",
        "proxy_decided": "stopped",
        "candidate_retired": "retired",
        "search_ended": "end",
    }[decision.kind]


_GATED = [
    ["gate:no"],
    ["gate:yes", "deferred"],
    ["gate:yes", "stopped"],
    ["gate:yes", "admitted"],
    ["gate:yes", "admitted", "retired"],
]
_WAYS = [
    ["start", "skipped"],
    ["start", "rejected"],
    *(["start", "child", *gated] for gated in _GATED),
    *(["child", *gated] for gated in _GATED),  # a merge draws no minibatch
]


@each_case
def test_every_row_of_the_candidate_table_has_a_number_of_its_own(name: str, seed: int) -> None:
    indices = [row.index for row in viewed(name, seed).rows.values()]
    assert sorted(indices) == list(range(len(indices)))


def test_the_cases_do_exercise_merges_deferrals_rejections_and_retirements() -> None:
    found: Counter[str] = Counter()
    for name in CASES:
        for seed in SEEDS:
            view = viewed(name, seed)
            found.update(decision.kind for decision in view.decisions)
            found.update(row.origin for row in view.rows.values())
    assert {"merge", "evaluation_deferred", "proposal_rejected", "candidate_retired", "step_skipped"} <= set(
        found
    )


@pytest.mark.parametrize("name", ["rungs", "screened"])
def test_who_is_stopped_in_a_rung_is_no_parent_and_no_finalist(name: str) -> None:
    stopped = set[str]()
    for seed in SEEDS:
        view = viewed(name, seed)
        own = {d.candidate for d in view.decisions if isinstance(d, STOPPING) and d.stopped}
        stopped |= own
        parents = {d.parent for d in view.decisions if isinstance(d, events.StepStarted)}
        assert view.chosen is not None
        assert not own & (parents | view.chosen.means.keys())
        for candidate in own:
            assert len(view.rewards(candidate, "pareto")) < len(view.splits["pareto"])
            assert view.rows[candidate].mean is None
    assert len(stopped) > 3


# -- same seed, same record --------------------------------------------------------------------------


@each_case
def test_the_same_seed_gives_the_same_record_and_another_seed_another(name: str, seed: int) -> None:
    again = asyncio.run(carry(CASES[name](seed)))
    assert first_difference(finished(name, seed).canonical(), again.canonical()) == ""
    assert finished(name, seed).result() == again.result()
    other = asyncio.run(carry(CASES[name](seed + 100)))
    assert other.canonical() != again.canonical()


@pytest.mark.timeout(180)
def test_the_hash_seed_changes_nothing() -> None:
    expected = "".join(
        f"{name} {seed} {fingerprint(finished(name, seed))}\n" for name in CASES for seed in (1,)
    )
    source = Path(paretune.__path__[0]).parent
    for hash_seed in ("0", "1", "4242"):
        path = os.pathsep.join([str(source), str(Path(__file__).parent.parent)])
        done = subprocess.run(
            [sys.executable, "-m", "support.digests", "1"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == expected


@pytest.mark.parametrize("name", CASES)
def test_how_many_rollouts_are_in_flight_changes_nothing(name: str) -> None:
    case, expected = CASES[name](1), finished(name, 1).canonical()
    for concurrency in (1, 3, 64):
        queue = type(case.queue)(concurrency=concurrency)
        run = asyncio.run(carry(case, queue=queue))
        assert run.executor.most_in_flight <= concurrency
        assert first_difference(expected, run.canonical()) == ""


# -- resume ------------------------------------------------------------------------------------------


@each_case
def test_a_run_cut_off_after_any_commit_goes_on_to_the_same_end(name: str, seed: int) -> None:
    run = finished(name, seed)
    assert isinstance(run.store, JournalStore)
    commits = len(run.store.commits)
    cuts = sorted({0, 1, 2, commits - 1, *dice("cuts", name, seed).sample(range(commits), 3)})
    for cut in cuts:
        store = run.store.after(run.run_id, cut)
        kept = {key for key, fact in store.facts(store.drawn(run.run_id)).items() if fact.kind == "rollout"}
        more = asyncio.run(carry(CASES[name](seed), store=store, run_id=run.run_id))
        where = f"cut after commit {cut} of {commits}"
        assert first_difference(run.canonical(), more.canonical()) == "", where
        assert more.result() == run.result(), where
        assert more.executor.calls.total() == len(run.executor.calls) - len(kept), where
        assert check_record(store, run.run_id) == [], where
        lost = sum(a.ended is not None and a.ended.outcome == "lost" for a in store.attempts(run.run_id))
        roles = read(store, run.run_id).ledger.by_role
        assert sum(roles[role].calls for role in POLICY if role in roles) == len(run.executor.calls)
        assert sum(spent.lost for spent in read(store, run.run_id).ledger.by_role.values()) == lost


@pytest.mark.parametrize("name", CASES)
def test_the_same_job_again_asks_nobody_and_finds_the_same(name: str) -> None:
    first = asyncio.run(carry(CASES[name](0)))
    second = asyncio.run(carry(CASES[name](0), store=first.store))
    assert second.run_id != first.run_id
    assert second.executor.calls.total() == 0
    assert _shown(second.proposer) == []
    assert first_difference(first.canonical(), second.canonical()) == ""
    assert second.result() == first.result()
    ledger = read(second.store, second.run_id).ledger
    assert (sum(ledger.role(role).calls for role in POLICY), ledger.cost_usd) == (0, 0.0)
    assert sum(ledger.role(role).reused for role in POLICY) == len(ledger.drawn)


def test_known_results_are_counted_once_however_often_they_are_looked_up() -> None:
    case, store = CASES["shared"](0), MemoryStore()
    asyncio.run(carry(case, store=store))
    job, proposer = case.job(), case.proposer()
    run_id, seen = begin(store, job, proposer), list[Live]()
    runner = Runner(store, run_id, job, RulebookExecutor(case.book), proposer, watch=Watch(live=seen.append))
    asyncio.run(runner.run())
    assert seen[0].ledger.role("rollout").reused == len(seen[0].ledger.drawn)


# -- secrecy -----------------------------------------------------------------------------------------


class _Listening:
    """Passes packets on, and keeps them."""

    def __init__(self, proposer: Proposer) -> None:
        self._proposer = proposer
        self.packets: list[Packet] = []

    @property
    def identity(self) -> str:
        return self._proposer.identity

    async def propose(self, packet: Packet) -> Proposal:
        self.packets.append(packet)
        return await self._proposer.propose(packet)


@each_case
def test_no_packet_prompt_or_transcript_shows_an_example_that_is_not_for_reflection(
    name: str, seed: int
) -> None:
    case, store = CASES[name](seed), MemoryStore()
    model = ScriptedModel(case.book.seed)
    proposer = _Listening(ReflectiveProposer(model) if case.model else case.proposer())
    job = case.job()
    run_id = begin(store, job, proposer)
    asyncio.run(Runner(store, run_id, job, RulebookExecutor(case.book), proposer).run())

    kept = store.facts(store.drawn(run_id), run_id).values()
    proposals = [json.dumps(fact.body) for fact in kept if fact.kind in ("proposal", "rejection")]
    texts = [*map(repr, proposer.packets), *model.prompts, *proposals]
    decisions = [json.dumps(stored.body) for stored in store.decisions(run_id)]
    shown = "\n".join([*texts, *decisions])
    assert proposals
    assert proposer.packets
    assert bool(model.prompts) == case.model

    splits = case.splits
    hidden = [*splits.select, *splits.test, *(() if splits.shared else splits.pareto)]
    assert [secret for secret in canaries(hidden) if secret in shown] == []
    assert [e.id for e in hidden if any(e.id in text for text in texts)] == []
    assert [secret for secret in canaries(splits.reflect) if secret in shown] != []


@each_case
def test_select_and_test_examples_meet_only_finalists_and_only_at_the_end(name: str, seed: int) -> None:
    view = viewed(name, seed)
    assert view.chosen
    untouched: set[str] = set()
    for split in ("select", "test"):
        asked = {candidate for candidate, e, _ in view.rollouts if e in view.splits[split]}
        finalists = {view.seed.id, view.chosen.best} if split == "test" else set(view.chosen.means)
        assert asked == (finalists if view.splits[split] else untouched)


# -- cells -------------------------------------------------------------------------------------------


def _never_fails(dispatch: Dispatch, asked: int) -> AttemptFailed | None:
    return None


def _sometimes_fails(dispatch: Dispatch, asked: int) -> AttemptFailed | None:
    unlucky = dice("fails", dispatch.request.candidate.id, dispatch.request.example.id).random() < 0.1
    return AttemptFailed(FailureKind.TASK_FAILED, "the clerk is ill") if unlucky else None


@each_case
@pytest.mark.parametrize("fails", [_never_fails, _sometimes_fails])
def test_every_cell_of_the_frontier_is_a_measured_score(name: str, seed: int, fails: Fails) -> None:
    case = CASES[name](seed)
    store, run_id, gepa = asyncio.run(searched(case, RulebookExecutor(case.book, fails=fails)))
    frontier, epsilon = gepa.pool.frontier, case.settings.epsilon
    measured = _measured(store, run_id)
    for cell, holders in frontier.holders().items():
        column = {c: measured[c][cell[1]] for c in frontier.candidates if cell[1] in measured[c]}
        best = max(column.values())
        assert cell[0] == "example"
        assert holders == [c for c, reward in column.items() if reward >= best - epsilon]
        assert frontier.best_scores()[cell] == best
    for candidate in frontier.candidates:
        assert frontier.scores(candidate) == {("example", e): r for e, r in measured[candidate].items()}


def _measured(store: MemoryStore, run_id: str) -> dict[str, dict[str, float]]:
    """Candidate -> pareto example -> reward, straight from the facts."""
    rewards: dict[str, dict[str, float]] = defaultdict(dict)
    for fact in store.facts(store.drawn(run_id), run_id).values():
        found = outcome(fact) if fact.kind == "rollout" else None
        if not isinstance(found, Rollout) or found.key.identity == CHEAP:
            continue
        if (found.key.split, found.key.replicate) == (Split.PARETO, 0):
            rewards[found.candidate][found.example] = found.reward
    return rewards


def _shown(proposer: object) -> list[object]:
    if isinstance(proposer, ReflectiveProposer):
        model = proposer._model
        assert isinstance(model, ScriptedModel)
        return [*model.prompts]
    return [*getattr(proposer, "packets", [])]
