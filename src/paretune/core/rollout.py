"""Rollouts: what was asked (the key), what came back, what it cost, or why nothing came."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from json.encoder import encode_basestring
from typing import NamedTuple

from paretune.core.candidate import Candidate, CandidateId
from paretune.core.canonical import JsonValue
from paretune.core.errors import FailureKind
from paretune.core.example import Example, ExampleId, Split


@dataclass(frozen=True, slots=True)
class Identity:
    """What, besides candidate and example, decides a reward: task, evaluator version and policy."""

    task: str
    evaluator: str
    policy: str


@dataclass(frozen=True, slots=True)
class RolloutKey:
    """Names one draw. Equal keys are the same question and are paid once."""

    candidate: CandidateId
    example: ExampleId
    split: Split
    replicate: int
    identity: Identity
    _id: str = field(default="", init=False, repr=False, compare=False)

    @property
    def id(self) -> str:
        """The content key under which the fact is stored: `r_` and 32 hexadecimal digits."""
        if not self._id:
            who, text = self.identity, encode_basestring
            # `digest_of_words` of these, without a loop: every rollout begins with its key.
            words = (
                f"[{text(self.candidate)},{text(self.example)},{text(self.split)},{self.replicate},"
                f"{text(who.task)},{text(who.evaluator)},{text(who.policy)}]"
            )
            found = sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:32]
            object.__setattr__(self, "_id", f"r_{found}")
        return self._id


LO = "lo"
"""The tier of rollouts by the cheap policy; that of the job's own policy is empty."""


class RolloutRequest(NamedTuple):
    """One rollout to be run: `replicate` counts draws of the same cell from 0, `tier` tells the policy."""

    candidate: Candidate
    example: Example
    replicate: int = 0
    tier: str = ""

    def key(self, identity: Identity) -> RolloutKey:
        return RolloutKey(self.candidate.id, self.example.id, self.example.split, self.replicate, identity)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and money of one call. `cost_usd` is None when nobody knows the price."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None

    def __post_init__(self) -> None:
        if self.cost_usd is not None and not (math.isfinite(self.cost_usd) and self.cost_usd >= 0):
            raise ValueError(f"a cost is a finite amount from 0, not {self.cost_usd}")

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Answer:
    """What an executor returns for one rollout.

    `reward` is finite, higher is better; `objectives` are named rewards (`reward` itself not repeated).
    `input`, `output` and `expected` are what the task let us see, as text; empty when it did not.
    `trace` is JSON for the proposer and for people.
    """

    reward: float
    objectives: Mapping[str, float] = field(default_factory=dict)
    feedback: str = ""
    input: str = ""
    output: str = ""
    expected: str = ""
    trace: JsonValue = None
    usage: Usage = Usage()

    def __post_init__(self) -> None:
        if not math.isfinite(self.reward):
            raise ValueError(f"reward must be a finite number, not {self.reward}")
        for name, value in self.objectives.items():
            if not math.isfinite(value):
                raise ValueError(f"{name} must be a finite number, not {value}")


class Rollout(NamedTuple):
    """A paid result: the answer to exactly this key."""

    key: RolloutKey
    answer: Answer

    @property
    def candidate(self) -> CandidateId:
        return self.key.candidate

    @property
    def example(self) -> ExampleId:
        return self.key.example

    @property
    def reward(self) -> float:
        return self.answer.reward


@dataclass(frozen=True, slots=True)
class Failure:
    """No result: all attempts failed, the last one for this reason. Never counted as a score."""

    key: RolloutKey
    kind: FailureKind
    message: str
    attempts: int = 1

    @property
    def example(self) -> ExampleId:
        return self.key.example


Outcome = Rollout | Failure


def scores(outcomes: list[Outcome]) -> dict[ExampleId, float]:
    """Example -> reward of the outcomes that have one."""
    return {o.key.example: o.answer.reward for o in outcomes if isinstance(o, Rollout)}
