"""The notebook: what rollouts on `reflect` examples showed. Nothing else ever reaches a proposer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from paretune.core.candidate import CandidateId
from paretune.core.example import Example, ExampleId
from paretune.core.rollout import Outcome, Rollout
from paretune.propose.base import Evidence


@dataclass(slots=True)
class Notebook:
    """Evidence by candidate and example. `perfect` is the reward that leaves nothing to learn."""

    reflect: tuple[Example, ...]
    perfect: float
    _lines: dict[CandidateId, dict[ExampleId, Evidence]] = field(default_factory=dict)
    _visible: frozenset[ExampleId] = field(init=False)

    def __post_init__(self) -> None:
        self._visible = frozenset(example.id for example in self.reflect)

    def keep(self, candidate: CandidateId, outcomes: Sequence[Outcome]) -> None:
        """Note the rollouts on examples that a proposer may see; pass over the others and the failures."""
        line = self._lines.setdefault(candidate, {})
        for outcome in outcomes:
            if isinstance(outcome, Rollout) and outcome.example in self._visible:
                line[outcome.example] = self._evidence(outcome)

    def of(self, candidate: CandidateId, examples: Sequence[ExampleId]) -> tuple[Evidence, ...]:
        """What this candidate did on these examples."""
        line = self._lines[candidate]
        return tuple(line[example] for example in examples)

    def rewards(self, candidate: CandidateId) -> dict[ExampleId, float]:
        """Example -> reward of this candidate, in the order of asking."""
        return {example: evidence.reward for example, evidence in self._lines.get(candidate, {}).items()}

    def besides(self, examples: Sequence[ExampleId]) -> tuple[Evidence, ...]:
        """One record of each further example that anybody was rolled out on, in the order of the split."""
        found: dict[ExampleId, Evidence] = {}
        for line in self._lines.values():
            for example, evidence in line.items():
                found.setdefault(example, evidence)
        shown = set(examples)
        return tuple(found[e.id] for e in self.reflect if e.id in found and e.id not in shown)

    def all(self) -> list[Evidence]:
        """Everything noted, for the guard against copies."""
        return [evidence for line in self._lines.values() for evidence in line.values()]

    def _evidence(self, rollout: Rollout) -> Evidence:
        answer = rollout.answer
        return Evidence(
            example=rollout.example,
            reward=answer.reward,
            perfect=answer.reward >= self.perfect,
            input=answer.input,
            output=answer.output,
            expected=answer.expected,
            feedback=answer.feedback,
            objectives=answer.objectives,
            trace=answer.trace,
        )
