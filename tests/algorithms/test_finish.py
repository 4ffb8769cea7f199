"""The result: chosen by everything that the finalists were measured on, and by nothing else."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Never

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.algorithms.finish import Contender, Finish
from paretune.algorithms.ports import D
from paretune.algorithms.trunk import Trunk
from paretune.algorithms.validation import choose_panel
from paretune.core import events
from paretune.core.budget import Ledger
from paretune.core.candidate import Candidate
from paretune.core.rollout import Outcome, RolloutRequest
from paretune.evaluate.queue import Priority
from paretune.views.run_view import read
from support.rulebook import Rulebook, RulebookExecutor
from support.runs import CASES, carry
from support.search import searched

SEED = Candidate({"a": "seed"})
PARETO, PANEL = ("p0", "p1", "p2"), ("r0", "r1", "r2")
rewards = st.integers(0, 4).map(lambda n: n / 4)


class AsksNobody:
    """Without a selection split the choice costs nothing."""

    concurrency = 1

    def keys(self, requests: Sequence[RolloutRequest]) -> list[str]:
        return []

    def start(self, requests: Sequence[RolloutRequest], priority: Priority = Priority.FULL) -> Never:
        raise AssertionError("a rollout was asked for")

    async def evaluate(
        self, requests: Sequence[RolloutRequest], priority: Priority = Priority.FULL
    ) -> list[Outcome]:
        raise AssertionError("a rollout was asked for")


class Decided:
    """A record that keeps what was decided."""

    def __init__(self) -> None:
        self.decisions: list[object] = []

    async def step(self, key: str, decide: Callable[[], D]) -> D:
        decision = decide()
        self.decisions.append(decision)
        return decision

    async def chance(self, key: str, decide: Callable[[], D | None]) -> Never:
        raise AssertionError(key)

    def ahead(self, key: str) -> bool:
        return False


def _choose(contenders: Sequence[Contender], finalists: int) -> tuple[Candidate, events.BestChosen]:
    record = Decided()
    finish = Finish(Rulebook().splits(), AsksNobody(), record, Ledger())
    best = asyncio.run(finish.best(contenders, finalists))
    (chosen,) = record.decisions
    assert isinstance(chosen, events.BestChosen)
    assert chosen.best == best.id
    return best, chosen


def _contender(number: int, pareto: Mapping[str, float], panel: Mapping[str, float]) -> Contender:
    candidate = Candidate({"a": f"text {number}"}, (SEED.id,), 1, "mutation") if number else SEED
    return Contender(candidate, pareto, {**pareto, **panel})


@st.composite
def contenders(draw: st.DrawFn) -> list[Contender]:
    """The seed and others, best first; some were not scored on some of the panel."""
    made = []
    for number in range(draw(st.integers(1, 5))):
        pareto = draw(st.fixed_dictionaries(dict.fromkeys(PARETO, rewards)))
        panel = draw(st.fixed_dictionaries({PANEL[0]: rewards}, optional=dict.fromkeys(PANEL[1:], rewards)))
        made.append(_contender(number, pareto, panel))
    return sorted(made, key=lambda c: -c.mean)


@given(contenders(), st.integers(1, 4))
def test_the_best_has_the_largest_mean_over_all_that_every_finalist_was_measured_on(
    ranked: list[Contender], finalists: int
) -> None:
    best, chosen = _choose(ranked, finalists)
    others = [c for c in ranked if c.candidate.parents][:finalists]
    finals = [c for c in ranked if c in others or not c.candidate.parents]
    shared = set.intersection(*(set(c.measured) for c in finals))
    means = {c.candidate.id: fmean(c.measured[e] for e in shared) for c in finals}
    pareto = {c.candidate.id: fmean(c.rewards.values()) for c in finals}
    assert chosen.means == pytest.approx(means)
    assert chosen.pareto_means == pytest.approx(pareto)
    top = max(means.values())
    level = [one for one, mean in means.items() if mean == pytest.approx(top)]
    assert best.id == max(level, key=lambda one: round(pareto[one], 9))


def test_who_is_ahead_on_pareto_examples_alone_is_not_the_best() -> None:
    fitted = _contender(1, dict.fromkeys(PARETO, 1.0), dict.fromkeys(PANEL, 0.0))
    sound = _contender(2, dict.fromkeys(PARETO, 0.75), dict.fromkeys(PANEL, 0.75))
    seed = _contender(0, dict.fromkeys(PARETO, 0.5), dict.fromkeys(PANEL, 0.5))
    best, chosen = _choose([sound, fitted, seed], 3)
    assert best == sound.candidate
    assert chosen.chosen_on == "pareto+panel"
    assert (
        _choose([Contender(c.candidate, c.rewards) for c in (fitted, sound, seed)], 3)[0] == fitted.candidate
    )


def test_without_a_selection_split_who_was_never_measured_cannot_be_the_result() -> None:
    unmeasured = Contender(Candidate({"a": "put off"}, (SEED.id,), 1, "mutation"))
    seed = _contender(0, dict.fromkeys(PARETO, 0.0), {})
    best, chosen = _choose([seed, unmeasured], 3)
    assert (best, set(chosen.means)) == (SEED, {SEED.id})


async def test_contenders_of_lanes_come_by_what_they_were_validated_on_and_those_put_off_last() -> None:
    case = CASES["lanes"](3)
    _, _, trunk = await searched(case, RulebookExecutor(case.book))
    assert isinstance(trunk, Trunk)
    found = trunk.contenders()
    members = [c for c in found if c.rewards]
    assert len(members) == len(trunk.pool.members) > 3
    assert found == [*members, *(Contender(one) for one in trunk.deferred)]
    assert [c.mean for c in members] == sorted((c.mean for c in members), reverse=True)
    validated = {*trunk.splits.pareto, *trunk.panel}
    assert trunk.panel
    for contender in members:
        texts = contender.candidate.components
        assert contender.rewards == {e.id: case.book.reward(texts, e.id) for e in case.splits.pareto}
        assert contender.measured.keys() <= {e.id for e in validated}
        assert all(reward == case.book.reward(texts, e) for e, reward in contender.measured.items())
    assert any(c.measured.keys() == {e.id for e in validated} for c in members if c.candidate.parents)


@pytest.mark.parametrize("seed", [0, 1])
async def test_a_run_of_lanes_ends_with_the_best_finalist_by_the_record(seed: int) -> None:
    case = CASES["lanes"](seed)
    run = await carry(case)
    view = read(run.store, run.run_id)
    chosen = view.chosen
    assert chosen is not None
    panel = choose_panel(case.splits, case.settings, case.limits.rollouts)
    assert panel
    every = [[e.id for e in case.splits.pareto], [e.id for e in (*case.splits.pareto, *panel)]]
    texts = {row: view.rows[row].components for row in chosen.means}
    means = [{c: fmean(case.book.reward(texts[c], e) for e in on) for c in texts} for on in every]
    assert any(chosen.means == pytest.approx(expected) for expected in means)
    assert len(chosen.means) > 2
    assert chosen.means[run.best.id] == max(chosen.means.values()) > chosen.means[view.seed.id]
