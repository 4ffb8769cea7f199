"""What each candidate of a run scored, and on what: the figures that candidate pages and results share.

Train is the mean on the pareto examples, which the search selected on. Validation is the mean on the
selection split, or on the test split where there is no other held-out one. Unknown stays unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from paretune.core.candidate import CandidateId
from paretune.core.frontier import Frontier, FrontierType, cells
from paretune.server.wire.events import known
from paretune.server.wire.prompts import prompt_length
from paretune.views.run_view import Row, RunView

LOWEST = float("-inf")
UNDER_WAY = frozenset({"queued", "running", "paused"})

STATUS = {
    "rejected": "rejected",
    "stopped": "rejected",
    "retired": "dominated",
    "deferred": "evaluated",
    "passed": "evaluated",
    "tried": "evaluated",
}
"""Our states of a candidate in the wire's words; members are accepted on the frontier, else dominated."""

STATUSES = ("accepted", "dominated", "evaluated", "evaluating", "failed", "rejected")

KINDS = {"seed": "initial", "merge": "crossover", "join": "crossover", "trial": "tpe_selected"}
"""Where a candidate came from, in the wire's words; the rest are mutations."""


def mutation_type(origin: str) -> str:
    return KINDS.get(origin, "mutation")


@dataclass(frozen=True)
class Scores:
    """The figures of one run."""

    view: RunView
    heldout: Mapping[CandidateId, float] = field(init=False)
    heldout_split: str = field(init=False)

    def __post_init__(self) -> None:
        chosen, finished = self.view.chosen, self.view.finished
        means: Mapping[CandidateId, float] = {}
        split = ""
        if chosen and chosen.chosen_on == "select":
            means, split = chosen.means, "select"
        elif finished and finished.test:
            means, split = finished.test, "test"
        object.__setattr__(self, "heldout", means)
        object.__setattr__(self, "heldout_split", split)

    @cached_property
    def best(self) -> Row | None:
        """Looked for once: the view goes through all decisions, and every candidate is compared with it."""
        return self.view.best

    @cached_property
    def ranked(self) -> list[Row]:
        """Who was chosen, the other finalists as they were compared, then all others with a mean."""
        rows, chosen = self.view.rows, self.view.chosen
        means = dict(chosen.means) if chosen else {}
        finalists = {*means, chosen.best} if chosen else set()
        order = [row for row in rows.values() if row.mean is not None or row.id in finalists]
        best = self.best

        def place(row: Row) -> tuple[bool, bool, float, float, int]:
            mean = LOWEST if row.mean is None else row.mean
            return (
                best is None or row.id != best.id,
                row.id not in finalists,
                -means.get(row.id, LOWEST),
                -mean,
                row.index,
            )

        return sorted(order, key=place)

    @cached_property
    def ranks(self) -> dict[CandidateId, int]:
        """Candidate -> rank, from 1."""
        return {row.id: rank for rank, row in enumerate(self.ranked, 1)}

    @cached_property
    def top(self) -> list[Row]:
        """The finalists, best first; who is best so far while none are chosen."""
        chosen = self.view.chosen
        if chosen is None:
            return self.ranked[:1]
        return [row for row in self.ranked if row.id in chosen.means or row.id == chosen.best]

    @cached_property
    def frontier(self) -> frozenset[CandidateId]:
        """Who holds a cell and is not dominated, among those that were not retired."""
        settings = self.view.run.job["settings"]
        kind = FrontierType(settings["frontier"])
        frontier = Frontier(settings["epsilon"])
        for row in self.view.rows.values():
            if row.mean is None or row.state == "retired":
                continue
            rollouts = self._rollouts(row.id, "pareto")
            rewards = {example: rollout.reward for example, rollout in rollouts.items()}
            named = {example: rollout.answer.objectives for example, rollout in rollouts.items()}
            frontier.admit(row.id, cells(kind, rewards, named))
        return frozenset(frontier.frequencies())

    def status(self, row: Row) -> str:
        best = self.best
        if best is not None and row.id == best.id:
            return "accepted"
        if row.state in ("seed", "admitted"):
            return "accepted" if row.id in self.frontier else "dominated"
        if row.state in STATUS:
            return STATUS[row.state]
        return "evaluating" if self.view.run.status in UNDER_WAY else "failed"

    def train(self, row: Row) -> float | None:
        return row.mean

    def validation(self, row: Row) -> float | None:
        return self.heldout.get(row.id)

    def minibatch(self, row: Row) -> float | None:
        """The mean of its gate or its trials, on few examples: not to be compared with the others."""
        return row.minibatch

    def objectives(self, row: Row) -> dict[str, float]:
        """What the frontier weighs: reward (accuracy is its other name), length in tokens (estimated), and
        every named reward that the task reports, as its mean on the pareto examples."""
        named: dict[str, list[float]] = defaultdict(list)
        for rollout in self._rollouts(row.id, "pareto").values() if row.mean is not None else ():
            for name, value in rollout.answer.objectives.items():
                named[name].append(value)
        means = {name: sum(values) / len(values) for name, values in sorted(named.items())}
        own = {"reward": row.mean, "accuracy": row.mean, "prompt_tokens": prompt_length(row.components)}
        return {**means, **known(own)}

    def by_example(self, row: Row, split: str) -> tuple[list[Any], list[float]]:
        """Seeds that were scored, in the order of the split, and their rewards."""
        rewards = self.view.rewards(row.id, split)
        return [seed(example) for example in rewards], list(rewards.values())

    def _rollouts(self, candidate: CandidateId, split: str) -> dict[str, Any]:
        found = {e: self.view.rollouts.get((candidate, e, 0)) for e in self.view.splits[split]}
        return {example: rollout for example, rollout in found.items() if rollout is not None}


def seed(example: str) -> int | str:
    """The wire calls an example by its seed; ids of task sets stay words."""
    return int(example) if example.isdecimal() else example
