"""The rollouts of a long run in little memory, most of them without their texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from sys import intern

from paretune.core.candidate import CandidateId
from paretune.core.example import ExampleId, Split
from paretune.core.rollout import Answer, Identity, Rollout, RolloutKey, Usage
from paretune.evaluate.facts import outcome, rollout_body
from paretune.store.base import Fact

Cell = tuple[CandidateId, ExampleId, int]
"""Candidate, example, replicate."""

# Nothing but tuples of words and numbers, which a collection of garbage does not go through: reward, split,
# number of the identity, prompt tokens, completion tokens, USD.
_Brief = tuple[float, str, int, int, int, float | None]


class Rollouts(Mapping[Cell, Rollout]):
    """Rollouts by cell, each made when it is asked for. `told` are the candidates whose rollouts have texts.

    `within_unit`: no reward that was added lies outside 0 to 1. Where one example is in two splits, the
    rollout of the greater key stands.
    """

    def __init__(self) -> None:
        self.told: frozenset[CandidateId] = frozenset()
        self.within_unit = True
        self._brief: dict[Cell, _Brief] = {}
        self._objectives: dict[Cell, Mapping[str, float]] = {}
        self._full: dict[Cell, Rollout] = {}
        self._cells: dict[CandidateId, list[Cell]] = {}
        self._identities: dict[tuple[str, ...], int] = {}

    def add(self, fact: Fact) -> tuple[CandidateId, str]:
        """The rollout of this fact; gives candidate and split. Raises ValueError as `outcome` does."""
        body = rollout_body(fact)
        asked, usage, reward = body["key"], body["usage"], body["reward"]
        candidate, split = asked["candidate"], intern(asked["split"])
        cells = self._cells.get(candidate)
        if cells is None:
            candidate = intern(candidate)
            cells = self._cells[candidate] = []
        elif cells:
            candidate = cells[0][0]
        cell = (candidate, intern(asked["example"]), asked["replicate"])
        if cell not in self._brief:
            cells.append(cell)
        elif self._key(cell).id > fact.key:
            return candidate, split
        identity = asked["identity"]
        words = (identity["task"], identity["evaluator"], identity["policy"])
        who = self._identities.setdefault(words, len(self._identities))
        if not 0.0 <= reward <= 1.0:
            self.within_unit = False
        tokens = usage["prompt_tokens"], usage["completion_tokens"]
        self._brief[cell] = (reward, split, who, *tokens, usage["cost_usd"])
        if body["objectives"] or cell in self._objectives:
            self._objectives[cell] = body["objectives"]
        if candidate in self.told:
            self._tell(fact)
        return candidate, split

    def missing_texts(self, told: frozenset[CandidateId]) -> list[str]:
        """From now on these have texts, and no others. Gives the keys of the facts that are to be read again
        for that, with `tell`."""
        for candidate in self.told - told:
            for cell in self._cells.get(candidate, ()):
                self._full.pop(cell, None)
        new, self.told = told - self.told, told
        return [self._key(cell).id for candidate in new for cell in self._cells.get(candidate, ())]

    def tell(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            self._tell(fact)

    def copy(self) -> Rollouts:
        """As they are now, for who reads while more are added."""
        made = Rollouts()
        made.told = self.told
        made._brief = self._brief.copy()
        made.within_unit = self.within_unit
        made._objectives = self._objectives.copy()
        made._full = self._full.copy()
        made._cells = {candidate: cells.copy() for candidate, cells in self._cells.items()}
        made._identities = self._identities.copy()
        return made

    def reward(self, cell: Cell) -> float | None:
        """That of its rollout, if there is one."""
        found = self._brief.get(cell)
        return None if found is None else found[0]

    def rewards(
        self, candidate: CandidateId, examples: Iterable[ExampleId], replicate: int = 0
    ) -> dict[ExampleId, float]:
        """Example -> reward of this candidate, of those examples where there is one."""
        brief = self._brief
        return {e: found[0] for e in examples if (found := brief.get((candidate, e, replicate)))}

    def objectives(self, cell: Cell) -> Mapping[str, float]:
        """The named rewards of its rollout, if there are any."""
        return self._objectives.get(cell, {})

    def usage(self, cell: Cell) -> tuple[int, int, float | None]:
        """Prompt tokens, completion tokens and USD of its rollout. Raises KeyError if there is none."""
        return self._brief[cell][3:]

    def __getitem__(self, cell: Cell) -> Rollout:
        if cell in self._full:
            return self._full[cell]
        reward, _, _, *tokens, usd = self._brief[cell]
        prompt, completion = tokens
        usage = Usage(prompt, completion, usd)
        return Rollout(self._key(cell), Answer(reward, self._objectives.get(cell, {}), usage=usage))

    def __iter__(self) -> Iterator[Cell]:
        return iter(self._brief)

    def __len__(self) -> int:
        return len(self._brief)

    def _tell(self, fact: Fact) -> None:
        found = outcome(fact)
        if isinstance(found, Rollout):
            self._full[found.candidate, found.example, found.key.replicate] = found

    def _key(self, cell: Cell) -> RolloutKey:
        candidate, example, replicate = cell
        _, split, who, *_ = self._brief[cell]
        return RolloutKey(candidate, example, Split(split), replicate, Identity(*[*self._identities][who]))
