"""What a proposer sees (packet) and gives back (proposal)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from paretune.core.candidate import Candidate, CandidateId
from paretune.core.canonical import JsonValue, digest
from paretune.core.example import ExampleId
from paretune.core.rollout import Usage


@dataclass(frozen=True, slots=True)
class Evidence:
    """One rollout of the parent on a training example, as the proposer may see it.

    All of it comes from the `reflect` split. Texts are empty when the task did not reveal them.
    `perfect` marks a reward at or above the run's perfect score: a pass beside the failures.
    """

    example: ExampleId
    reward: float
    perfect: bool
    input: str = ""
    output: str = ""
    expected: str = ""
    feedback: str = ""
    objectives: Mapping[str, float] = field(default_factory=dict)
    trace: JsonValue = None
    _digest: str = field(default="", init=False, repr=False, compare=False)

    @property
    def digest(self) -> str:
        """Of all of it, taken once: packet after packet shows the same records."""
        if not self._digest:
            who, texts = [self.example, self.reward, self.perfect], [self.input, self.output, self.expected]
            found = digest([*who, *texts, self.feedback, dict(self.objectives), self.trace], 32)
            object.__setattr__(self, "_digest", found)
        return self._digest


@dataclass(frozen=True, slots=True)
class Tried:
    """An earlier proposal from this parent that was turned down, and why."""

    components: Mapping[str, str]
    reason: str


class Reasons(Mapping[CandidateId, str]):
    """Why texts were turned down, by their content id, as it stood when this was made.

    `everything` is numbered in the order in which it came; what came after the first `count` is not in it. So
    one can be made for each packet, however many there are. `total` stands for the content in any order.
    """

    __slots__ = ("_count", "_everything", "total")

    def __init__(self, everything: Mapping[CandidateId, tuple[int, str]], count: int, total: int) -> None:
        self._everything = everything
        self._count = count
        self.total = total

    def __getitem__(self, identity: CandidateId) -> str:
        number, reason = self._everything[identity]
        if number >= self._count:
            raise KeyError(identity)
        return reason

    def __iter__(self) -> Iterator[CandidateId]:
        return islice(self._everything, self._count)

    def __len__(self) -> int:
        return self._count


@dataclass(frozen=True, slots=True)
class Surface:
    """The rules of the text being edited.

    `placeholders` maps a component to the `{names}` that must survive in it. `max_tokens` limits a
    whole candidate (None: no limit), `component_tokens` a component. `roles` maps a component to its message
    role, when it has one.
    `formats` names components that are no prose: `demonstrations` is a list of solved examples (see
    `paretune.core.demonstrations`), sent as turns, or as text in the component that `hosts` names for it.
    """

    placeholders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    max_tokens: int | None = None
    description: str = ""
    formats: Mapping[str, str] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    component_tokens: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scored:
    """Texts that were measured: their mean reward over so many examples."""

    components: Mapping[str, str]
    mean: float
    examples: int


@dataclass(frozen=True, slots=True)
class Grounding:
    """What an instruction is written from where no failures are looked at; any part may be empty.

    `rows` are training examples as texts, for a summary of the data set. `program` says what the whole
    program is, `module` what the edited component does in it. `demonstrations` are solved rollouts, of the
    `reflect` split. `tip` says what kind of instruction to write. `history` holds texts that were measured,
    best first (a few of the best and of the worst).
    """

    rows: tuple[str, ...] = ()
    program: str = ""
    module: str = ""
    demonstrations: tuple[Evidence, ...] = ()
    tip: str = ""
    history: tuple[Scored, ...] = ()

    def record(self) -> dict[str, JsonValue]:
        """All of it by content, with a digest for each row and demonstration."""
        return {
            "rows": [digest(row, 32) for row in self.rows],
            "program": self.program,
            "module": self.module,
            "demonstrations": [e.digest for e in self.demonstrations],
            "tip": self.tip,
            "history": [[dict(s.components), s.mean, s.examples] for s in self.history],
        }


@dataclass(frozen=True, slots=True)
class Packet:
    """Everything a proposer sees, in one place.

    `targets` names the components to edit. `evidence` holds the minibatch, failures and passes;
    `examples` holds further known rollouts of the parent's line on the `reflect` split (for
    demonstrations and for shapes of answers). `grandparent` is the parent's own parent, None for the
    seed. `rejected` are earlier proposals from this parent, `tried` says of all of them, by the content id of
    their texts, why they were turned down; the oldest may be there only. `draw` names the random stream.
    `grounding` is there where the instruction is to be written from the data instead of from failures.
    """

    parent: Candidate
    targets: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    surface: Surface
    grandparent: Candidate | None = None
    examples: tuple[Evidence, ...] = ()
    rejected: tuple[Tried, ...] = ()
    tried: Mapping[CandidateId, str] = field(default_factory=dict)
    draw: str = ""
    grounding: Grounding | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """New texts for some components, why, and what asking for them cost.

    `demonstrations` names the training examples that the texts quote on purpose; the copy guard
    exempts exactly those.
    """

    components: Mapping[str, str]
    rationale: str = ""
    demonstrations: tuple[ExampleId, ...] = ()
    usage: Usage = Usage()
    transcript: JsonValue = None


class Proposer(Protocol):
    """Writes a better candidate from a parent and the evidence of its failures.

    Raises `paretune.core.errors.AttemptFailed` when the call can be tried again, and
    `paretune.propose.guards.Rejected` when the answer is unusable.
    """

    @property
    def identity(self) -> str:
        """Names model, prompt and version: equal identities give exchangeable answers."""
        ...

    async def propose(self, packet: Packet) -> Proposal: ...
