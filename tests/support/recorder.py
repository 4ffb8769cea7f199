"""Puts down what a run would write, write by write, in the order and with the times of the run."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

from paretune.core.events import Decision, to_record
from paretune.core.rollout import Rollout, Usage
from paretune.evaluate.facts import rollout_fact
from paretune.store import AttemptBegun, AttemptEnded, Fact, Role, StoredDecision, Write
from paretune.store.chain import chain

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@dataclass(slots=True)
class Recorder:
    """`seconds` are those of the run so far; who records moves them on. `writes` wait to be committed."""

    run_id: str
    seconds: float = 0.0
    decided: int = 0
    writes: list[Write] = field(default_factory=list)
    _calls: int = 0
    _link: str = ""

    @property
    def at(self) -> str:
        return (START + datetime.timedelta(seconds=self.seconds)).isoformat(timespec="milliseconds")

    def rollout(self, rollout: Rollout, took: float) -> None:
        """A paid rollout."""
        fact = rollout_fact(rollout, took, self.run_id, self.at)
        begun = self.begin(fact.key, "rollout")
        self._end(begun, rollout.answer.usage, took, fact)

    def proposal(self, key: str, body: dict[str, object], usage: Usage, took: float) -> None:
        begun = self.begin(key, "proposal")
        self._end(begun, usage, took, Fact(key, "proposal", body, "", self.run_id, took, self.at))

    def begin(self, key: str, role: Role, number: int = 1) -> str:
        """An attempt that goes out; its id."""
        self._calls += 1
        id = f"a_{self.run_id[-8:]}_{self._calls}"
        self.writes.append(AttemptBegun(id, key, role, number, 0.001, self.at))
        return id

    def _end(self, id: str, usage: Usage, took: float, fact: Fact) -> None:
        tokens = usage.prompt_tokens, usage.completion_tokens
        self.writes += [fact, AttemptEnded(id, "done", "", "", *tokens, usage.cost_usd, took, self.at)]

    def decide(self, key: str, decision: Decision) -> None:
        body = to_record(decision)
        self._link = chain(self._link or self.run_id, key, body)
        self.writes.append(StoredDecision(self.decided, key, body, self._link, self.seconds, self.at))
        self.decided += 1

    def take(self) -> list[Write]:
        """What waits; nothing waits after this."""
        writes, self.writes = self.writes, []
        return writes
