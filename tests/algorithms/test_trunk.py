"""Lanes on one head: edits that clash are asked for again, and a pass by one answer is looked at twice."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.algorithms.doubt import CONVINCED, Doubt
from paretune.algorithms.line import ODDS
from paretune.algorithms.settings import Pipeline, Rungs
from paretune.algorithms.trunk import MOST_GATES
from paretune.algorithms.validation import choose_panel
from paretune.algorithms.width import LEAST
from paretune.core import events
from paretune.core.budget import Limits
from paretune.core.sampling import minibatch
from paretune.propose.base import Packet, Proposal
from paretune.views.run_view import RunView, read
from support.rulebook import HEADING, HintProposer, Rulebook, lines
from support.runs import CASES, Case, Finished, carry

EXACT = Rulebook(2, rules=24, flaky=0.0)
NOISY = replace(EXACT, flaky=0.4)


class Rewording(HintProposer):
    """Words the first line anew in every edit, so that no two of them go together."""

    async def propose(self, packet: Packet) -> Proposal:
        proposal = await HintProposer.propose(self, packet)
        heading = f"{HEADING[:-1]}, as {packet.draw} has it after {len(packet.rejected)} tries."
        texts = {name: "\n".join([heading, *lines(text)[1:]]) for name, text in proposal.components.items()}
        return replace(proposal, components=texts)


@dataclass(frozen=True, slots=True)
class Reworded(Case):
    def proposer(self) -> Rewording:
        return Rewording(self.book.seed)


def _clashing(seed: int) -> Case:
    case = CASES["lanes"](seed)
    pipeline = replace(case.settings.pipeline, lanes=8, plateau=99)
    book = replace(case.book, components=("tone",))
    return Reworded(book, case.splits, replace(case.settings, pipeline=pipeline), case.limits)


@cache
def _clashed(seed: int) -> Finished:
    return asyncio.run(carry(_clashing(seed)))


def _one_lane(book: Rulebook, replicates: int = 1) -> Case:
    case = CASES["lanes"](book.seed)
    settings = replace(case.settings, pipeline=Pipeline(lanes=1, plateau=99, replicates=replicates))
    limits = replace(case.limits, rollouts=320)
    return Case(book, book.splits(reflect=24, pareto=6), settings, limits)


def _read(run: Finished) -> RunView:
    return read(run.store, run.run_id)


def _with_heads(view: RunView) -> Iterator[tuple[events.Decision, str]]:
    """Each decision, and the head that it was made under."""
    head = view.seed.id
    for decision in view.decisions:
        yield decision, head
        if isinstance(decision, events.HeadMoved):
            head = decision.head


# -- clashes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_an_edit_that_clashes_is_asked_for_again_from_the_head(seed: int) -> None:
    run = _clashed(seed)
    assert isinstance(run.proposer, HintProposer)
    asked_again: dict[int, events.ProposalRejected] = {}
    children: set[int] = set()
    for decision, head in _with_heads(_read(run)):
        if isinstance(decision, events.ProposalRejected) and decision.reason == "clash":
            assert decision.parent == head
            assert decision.step not in asked_again
            asked_again[decision.step] = decision
        if isinstance(decision, events.ChildProposed) and decision.step in {*asked_again} - children:
            assert asked_again[decision.step].parent in (decision.parents[0], decision.ancestor)
            children.add(decision.step)
    assert len(children) > 2
    for step, clash in asked_again.items():
        _, *second = [p for p in run.proposer.packets if p.draw == f"{seed}/{step}"]
        assert [p.parent.id for p in second] == [clash.parent] * len(second)
        assert all(clash.components in [t.components for t in p.rejected] for p in second)


@pytest.mark.parametrize("seed", [0, 1])
def test_where_edits_clash_a_child_must_beat_the_very_text_that_it_replaces(seed: int) -> None:
    view = _read(_clashed(seed))
    seen: dict[int, str] = {}
    gates: dict[int, list[events.GateDecided]] = {}
    moved = 0
    for decision, head in _with_heads(view):
        if isinstance(decision, events.ChildProposed):
            seen[decision.step] = head
        elif isinstance(decision, events.GateDecided) and decision.baseline:
            earlier = gates.setdefault(decision.step, [])
            own = set() if earlier else {view.rows[decision.child].parents[0]}
            assert decision.baseline in {seen[decision.step], *own}
            earlier.append(decision)
            seen[decision.step] = head
        elif isinstance(decision, events.HeadMoved) and decision.reason == "accepted":
            *_, last = gates[decision.step]
            assert last.passed
            assert last.baseline == head
            moved += 1
    assert moved > 3
    assert 1 < max(map(len, gates.values())) <= MOST_GATES


def test_a_joined_edit_is_put_on_record_for_a_gate_that_is_still_to_come() -> None:
    """Eight lanes whose heads move so fast that some edits are overtaken in their last gate too."""
    case = CASES["lanes"](7)
    pipeline = replace(case.settings.pipeline, lanes=8, plateau=99, validate_every=1, validation_share=1.0)
    limits = Limits(rollouts=900, steps=120)
    case = replace(case, settings=replace(case.settings, pipeline=pipeline), limits=limits)
    view = _read(asyncio.run(carry(case)))
    gated = {(d.step, d.child) for d in view.decisions if isinstance(d, events.GateDecided)}
    skips = [d for d in view.decisions if isinstance(d, events.StepSkipped)]
    no_room = {d.step for d in skips if d.reason == "budget"}
    children = [d for d in view.decisions if isinstance(d, events.ChildProposed)]
    assert [d for d in children if (d.step, d.child) not in gated and d.step not in no_room] == []
    assert any(d.reason == "overtaken" for d in skips)


def test_lanes_that_clash_all_the_time_become_two() -> None:
    view = _read(_clashed(0))
    changes = [d for d in view.decisions if isinstance(d, events.LanesChanged)]
    assert [c.lanes for c in changes] == [4, LEAST]
    after = view.decisions[view.decisions.index(changes[-1]) :]
    lanes = [d.lane for d in after if isinstance(d, events.StepStarted)]
    assert len(lanes) > 8
    assert len(set(lanes)) <= LEAST


# -- known failures -------------------------------------------------------------------------------


@pytest.mark.parametrize("book", [EXACT, NOISY], ids=["exact", "noisy"])
async def test_what_a_parent_is_known_to_fail_joins_its_minibatch_and_costs_it_nothing(
    book: Rulebook,
) -> None:
    case = _one_lane(book, replicates=0)
    run = await carry(case)
    view, size = _read(run), case.settings.minibatch_size
    assert isinstance(run.proposer, HintProposer)
    panel = {e.id for e in choose_panel(case.splits, case.settings, case.limits.rollouts)}
    texts = {view.seed.id: case.book.start()}
    asked: dict[str, set[str]] = defaultdict(set, {view.seed.id: set(panel)})
    steps: dict[int, list[str]] = {}
    joined = 0
    for decision in view.decisions:
        match decision:
            case events.StepStarted():
                drawn, known = set(decision.minibatch[:size]), decision.minibatch[size:]
                by_epochs = minibatch(case.splits.reflect, size, len(steps), seed=case.settings.seed)
                assert [e.id for e in by_epochs] == decision.minibatch[:size]
                assert len(known) == len({*known} - drawn) <= size
                assert set(known) <= asked[decision.parent]
                assert all(case.book.reward(texts[decision.parent], e) < 1 for e in known)
                asked[decision.parent] |= drawn
                steps[decision.step] = decision.minibatch
                joined += len(known)
            case events.ChildProposed():
                texts[decision.child] = decision.components
            case events.GateDecided():  # of an ablation: on what heads are validated on
                asked[decision.child] |= set(steps.get(decision.step, panel))
            case events.ValidationStarted():
                asked[decision.candidate] |= panel
            case _:
                pass
    assert joined > len(steps)
    for packet in run.proposer.packets:
        shown = [e.example for e in packet.evidence]
        assert shown == steps[int(packet.draw.split("/")[1])]
    reflect = {e.id for e in case.splits.reflect}
    for candidate, example, _ in view.rollouts:
        assert example not in reflect or example in asked[candidate] | panel


@pytest.mark.parametrize("seed", [0, 1])
def test_a_head_that_takes_the_place_of_the_parent_is_asked_for_none_of_its_known_failures(seed: int) -> None:
    run = _clashed(seed)
    assert isinstance(run.proposer, HintProposer)
    view, size = _read(run), _clashing(seed).settings.minibatch_size
    steps = {d.step: d for d in view.decisions if isinstance(d, events.StepStarted)}
    fewer = 0
    for packet in run.proposer.packets:
        step = steps[int(packet.draw.split("/")[1])]
        shown = [e.example for e in packet.evidence]
        assert shown[:size] == step.minibatch[:size]
        assert set(shown) <= set(step.minibatch)
        if packet.parent.id == step.parent:
            assert shown == step.minibatch
        fewer += len(shown) < len(step.minibatch)
    assert fewer


# -- a second answer ------------------------------------------------------------------------------


@given(st.lists(st.booleans(), max_size=20))
def test_answers_are_taken_to_repeat_after_so_many_alike_and_never_once_one_was_not(same: list[bool]) -> None:
    doubt = Doubt()
    for number, alike in enumerate(same, 1):
        asks = doubt.asks("c", str(number))
        assert asks == (doubt.noisy or number <= CONVINCED)
        assert asks == doubt.asks("c", str(number))  # a second answer that is known counts again
        if asks:
            doubt.heard(0.5, 0.5 if alike else 0.75)
        assert doubt.noisy == (not all(same[: min(number, CONVINCED) if all(same[:CONVINCED]) else number]))


def _hanging(view: RunView, case: Case) -> Iterator[tuple[events.GateDecided, str, dict[str, float], float]]:
    """Gates in which one failure alone was better at first: it, first answers, and what was there before."""
    minibatch: dict[int, list[str]] = {}
    texts: dict[str, dict[str, str]] = {view.seed.id: case.book.start()}
    for decision in view.decisions:
        if isinstance(decision, events.StepStarted):
            minibatch[decision.step] = decision.minibatch
        elif isinstance(decision, events.ChildProposed | events.HeadMoved):
            texts[getattr(decision, "child", "") or getattr(decision, "head", "")] = decision.components
        elif isinstance(decision, events.GateDecided) and decision.step in minibatch:
            before = {e: case.book.reward(texts[decision.baseline], e) for e in minibatch[decision.step]}
            failed = [e for e, reward in before.items() if reward < 1]
            asked = failed if decision.pairs == len(failed) else list(before)
            first = {e: case.book.reward(texts[decision.child], e) for e in asked}
            gained = [e for e in failed if first[e] > before[e]]
            if len(gained) == 1:
                yield decision, gained[0], first, sum(before[e] for e in asked)


async def test_a_pass_by_one_answer_counts_the_mean_of_two() -> None:
    case = _one_lane(replace(NOISY, seed=7))
    run = await carry(case)
    view = _read(run)
    again = {(c, e): found.reward for (c, e, replicate), found in view.rollouts.items() if replicate}
    differ = 0
    for gate, example, first, before in _hanging(view, case):
        assert gate.before == pytest.approx(before)
        second = again.pop((gate.child, example), None)
        if second is None:  # it did not pass even so
            assert not gate.passed
            assert gate.after == pytest.approx(sum(first.values()))
            continue
        texts = view.rows[gate.child].components
        assert second == case.book.reward(texts, example, replicate=1)
        mean = fmean([first[example], second])
        assert gate.after == pytest.approx(sum(first.values()) - first[example] + mean)
        differ += second != first[example]
    assert not again  # nobody else was asked twice
    assert differ > 2
    assert len(view.rollouts) == sum(run.executor.calls.values()) <= 320


async def test_on_an_exact_task_a_run_is_soon_convinced() -> None:
    case = _one_lane(EXACT)
    view = _read(await carry(case))
    again = [key for key in view.rollouts if key[2]]
    assert len(list(_hanging(view, case))) > CONVINCED
    assert len(again) == CONVINCED
    assert {replicate for *_, replicate in again} == {1}


async def test_without_replicates_nobody_is_asked_twice() -> None:
    view = _read(await carry(_one_lane(NOISY, replicates=0)))
    assert not any(replicate for *_, replicate in view.rollouts)
    assert any(d.passed for d in view.decisions if isinstance(d, events.GateDecided))


# -- lines left out -------------------------------------------------------------------------------


def _idle(seed: int, ablation: bool = True) -> Case:
    case = CASES["lanes"](seed)
    pipeline = Pipeline(lanes=2, validate_every=1, validation_share=0.5, panel=6, ablation=ablation)
    book = Rulebook(seed, rules=24, flaky=0.3)
    limits = replace(case.limits, rollouts=900)
    return Case(book, book.splits(reflect=24, pareto=8), replace(case.settings, pipeline=pipeline), limits)


@pytest.mark.parametrize("seed", [0, 1])
def test_after_a_validation_in_vain_the_incumbent_is_tried_without_some_of_its_lines(seed: int) -> None:
    view = _read(asyncio.run(carry(_idle(seed))))
    texts = {row.id: row.components for row in view.rows.values()}
    own = {(name, line) for name, text in view.seed.components.items() for line in lines(text)}
    incumbent, in_vain, tried, won = view.seed.id, 0, 0, 0
    for decision in view.decisions:
        match decision:
            case events.ValidationEnded():
                better = decision.difference > 0
                incumbent, in_vain = decision.candidate if better else incumbent, in_vain + (not better)
                won += better and view.rows[decision.candidate].origin == "ablation"
            case events.ChildProposed(origin="ablation"):
                tried += 1
                assert in_vain
                assert decision.parents == [incumbent]
                for name, text in decision.components.items():
                    before = lines(texts[incumbent][name])
                    assert [line for line in before if line in lines(text)] == lines(text)
                    assert not {(name, line) for line in before if line not in lines(text)} & own
            case events.HeadMoved(reason="won"):
                assert decision.head == incumbent
            case _:
                pass
    assert tried
    assert won <= tried


def test_nothing_is_left_out_where_that_is_switched_off() -> None:
    view = _read(asyncio.run(carry(_idle(0, ablation=False))))
    assert "ablation" not in {row.origin for row in view.rows.values()}


# -- validations in rungs -------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "cells"), [(3, 0.03), (6, 0.0)])
def test_a_validation_stops_where_its_head_loses_and_only_who_was_measured_in_full_counts(
    seed: int, cells: float
) -> None:
    case = _idle(seed)
    pipeline = replace(case.settings.pipeline, panel=16)
    settings = replace(case.settings, rungs=Rungs(first=1, cells=cells), pipeline=pipeline)
    case = replace(case, splits=case.book.splits(reflect=64, pareto=24), settings=settings)
    view = _read(asyncio.run(carry(case)))
    rungs = [d for d in view.decisions if isinstance(d, events.RungEnded)]
    stopped = {d.candidate for d in rungs if d.stopped}
    assert {(d.measured, d.wanted) for d in rungs} == {(4, 40), (8, 40), (16, 40), (32, 40)}
    assert stopped
    assert all(d.stopped == (d.chance <= ODDS) for d in rungs)
    for decision, head in _with_heads(view):
        match decision:
            case events.CandidateAdmitted():
                assert decision.scored == 24
                stopped -= {decision.candidate}  # measured on the rest at the end
            case events.ValidationEnded() if decision.candidate in stopped:
                assert decision.difference < 0
            case events.HeadMoved(reason="fallback"):
                assert decision.head != head
            case _:
                pass
    assert view.finished is not None
    assert view.finished.best not in stopped
