"""The notebook: what rollouts on `reflect` examples showed. Nothing else ever reaches a proposer."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from paretune.core.candidate import Candidate, CandidateId, content_id
from paretune.core.canonical import digest
from paretune.core.example import Example, ExampleId
from paretune.core.rollout import Outcome, Rollout
from paretune.propose.base import Evidence, Reasons, Tried
from paretune.propose.copies import IndexedTexts, TrainingTexts

TOLD = 16
"""So many proposals that were turned down are kept with their texts for each parent, the newest ones."""


@dataclass(slots=True)
class Notebook:
    """Evidence that later proposals are shown: of each example the record of whoever was asked for anything
    first, and each text once. `perfect` is the reward that leaves nothing to learn.
    """

    reflect: tuple[Example, ...]
    perfect: float
    _visible: frozenset[ExampleId] = field(init=False)
    _places: dict[CandidateId, int] = field(default_factory=dict)
    _firsts: dict[ExampleId, tuple[int, Evidence]] = field(default_factory=dict)
    _texts: IndexedTexts = field(default_factory=IndexedTexts)

    def __post_init__(self) -> None:
        self._visible = frozenset(example.id for example in self.reflect)

    def keep(self, candidate: CandidateId, outcomes: Sequence[Outcome]) -> dict[ExampleId, float]:
        """Note the rollouts on examples that a proposer may see; pass over the others and the failures.

        Returns the rewards of those noted.
        """
        place = self._places.setdefault(candidate, len(self._places))
        seen = [o for o in outcomes if isinstance(o, Rollout) and o.example in self._visible]
        for rollout in seen:
            example, answer = rollout.example, rollout.answer
            first = self._firsts.get(example)
            if first is None or place < first[0]:
                self._firsts[example] = place, self._evidence(rollout)
            self._texts.add(example, answer.input, answer.expected)
        return {rollout.example: rollout.reward for rollout in seen}

    def evidence(self, outcomes: Sequence[Outcome]) -> tuple[Evidence, ...]:
        """What these outcomes show; failures show nothing."""
        return tuple(
            self._evidence(o) for o in outcomes if isinstance(o, Rollout) and o.example in self._visible
        )

    def besides(self, examples: Sequence[ExampleId]) -> tuple[Evidence, ...]:
        """One record of each further example that anybody was rolled out on, in the order of the split."""
        shown = set(examples)
        return tuple(
            self._firsts[e.id][1] for e in self.reflect if e.id in self._firsts and e.id not in shown
        )

    def texts(self) -> TrainingTexts:
        """Every input and expected answer that was noted, for the guard against copies."""
        return self._texts

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


@dataclass(slots=True)
class TurnedDown:
    """Proposals from one parent that were turned down: the `newest`, oldest first, and of all of them, by the
    content id of the texts, `why`."""

    newest: deque[Tried] = field(default_factory=lambda: deque(maxlen=TOLD))
    _numbered: dict[CandidateId, tuple[int, str]] = field(default_factory=dict)
    _total: int = 0

    def add(self, parent: Candidate, tried: Tried) -> None:
        self.newest.append(tried)
        if tried.components:
            identity = content_id({**parent.components, **tried.components})
            if identity not in self._numbered:
                self._numbered[identity] = len(self._numbered), tried.reason
                # A sum of digests is the same in whichever order lanes came to it.
                self._total = (self._total + int(digest([identity, tried.reason], 64), 16)) % 2**256

    @property
    def why(self) -> Reasons:
        """All reasons as they stand now."""
        return Reasons(self._numbered, len(self._numbered), self._total)
