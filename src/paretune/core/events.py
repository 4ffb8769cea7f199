"""Decisions: the closed, versioned union of what a run chose, in the order in which it chose."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from paretune.core.canonical import JsonValue
from paretune.core.proxy_events import ProxyCalibrated as ProxyCalibrated
from paretune.core.proxy_events import ProxyDecided as ProxyDecided

RECORD_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """What is being run: digests of the job and of each split's example ids."""

    kind: ClassVar[str] = "run_started"
    job: str
    seed: int
    candidate: str
    splits: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """One pass of the loop: the parent, the components to edit and the minibatch. In lanes, examples that the
    parent is known to fail follow those that were drawn."""

    kind: ClassVar[str] = "step_started"
    step: int
    generation: int
    parent: str
    targets: list[str]
    minibatch: list[str]
    lane: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSkipped:
    """A step that asked nothing of the proposer, or got nothing from it."""

    kind: ClassVar[str] = "step_skipped"
    step: int
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRejected:
    """A guard turned the proposal down before it cost a rollout."""

    kind: ClassVar[str] = "proposal_rejected"
    step: int
    parent: str
    reason: str
    detail: str
    components: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildProposed:
    """A proposal that passed the guards. `proposal` is the key of its fact; empty for a merge."""

    kind: ClassVar[str] = "child_proposed"
    step: int
    child: str
    parents: list[str]
    origin: str
    generation: int
    components: dict[str, str]
    rationale: str
    proposal: str = ""
    ancestor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecided:
    """Paired comparison on the same examples. `before` and `after` are summed rewards; `baseline` had to be
    beaten, the first parent where it is empty."""

    kind: ClassVar[str] = "gate_decided"
    step: int
    child: str
    passed: bool
    before: float
    after: float
    pairs: int
    reason: str
    baseline: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateAdmitted:
    """Into the pool, with the mean reward over the pareto examples that were scored. Where `pool` is above 0,
    only so many were asked, and the mean is an estimate for all of them."""

    kind: ClassVar[str] = "candidate_admitted"
    step: int
    candidate: str
    parents: list[str]
    origin: str
    generation: int
    components: dict[str, str]
    mean: float
    scored: int
    failed: int
    gained: list[str]
    best: bool
    pool: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadMoved:
    """The text that lanes start from is another one: `accepted`, `joined` (an accepted edit carried onto a
    newer head), `fallback` (to the incumbent) or `won` (a child of the frontier)."""

    kind: ClassVar[str] = "head_moved"
    step: int
    head: str
    parents: list[str]
    generation: int
    components: dict[str, str]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneResumed:
    """A lane has the turn: this piece of its work ended `at` this second of the lanes' clock."""

    kind: ClassVar[str] = "lane_resumed"
    lane: int
    work: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LanesChanged:
    """So many `lanes` from now on: of `carried` edits onto a head that moved, `clashed` could not be."""

    kind: ClassVar[str] = "lanes_changed"
    step: int
    lanes: int
    clashed: int
    carried: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationStarted:
    """A head goes to all pareto examples and to the panel, in the background."""

    kind: ClassVar[str] = "validation_started"
    step: int
    candidate: str
    panel: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationEnded:
    """Head against incumbent, paired on everything that both were scored on."""

    kind: ClassVar[str] = "validation_ended"
    step: int
    candidate: str
    incumbent: str
    wins: int
    losses: int
    difference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationDeferred:
    """The child passed its gate, but a full evaluation did not fit the budget."""

    kind: ClassVar[str] = "evaluation_deferred"
    step: int
    child: str
    wanted: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RungEnded:
    """A part of a full evaluation, `measured` of `wanted` examples. `chance`: an anytime-valid p-value of "it
    beats `rival` on all of them"; `cells`: at most so many would be its own. If `stopped`, it is measured no
    further, and no member of the pool."""

    kind: ClassVar[str] = "rung_ended"
    step: int
    candidate: str
    rival: str
    measured: int
    wanted: int
    chance: float
    cells: int
    stopped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolChanged:
    """From now on candidates are measured on these examples first; `weights` say for how many of `covered`
    each one stands. `anchors` stay, `heated` are there for a while. `reason`: `start`, `anneal`, `heat-up`,
    `cool-down`, or several of them."""

    kind: ClassVar[str] = "pool_changed"
    step: int
    examples: list[str]
    weights: list[float]
    anchors: list[str]
    heated: list[str]
    covered: int
    size: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolJudged:
    """A candidate after the pool, `measured` of `wanted` examples: by how much it is better than `rival` on
    all of them on average, estimated, with a standard error. If `completed`, it is measured on the rest too,
    or was now."""

    kind: ClassVar[str] = "pool_judged"
    step: int
    candidate: str
    rival: str
    measured: int
    wanted: int
    difference: float
    error: float
    completed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRetired:
    """Left the archive because it was full."""

    kind: ClassVar[str] = "candidate_retired"
    step: int
    candidate: str
    cells: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchEnded:
    """Why the loop stopped: `rollouts`, `steps`, `patience`, `target`, `tokens`, `cost_usd`,
    `time`, ..."""

    kind: ClassVar[str] = "search_ended"
    step: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BestChosen:
    """The finalists' means on the split that chose, and the winner."""

    kind: ClassVar[str] = "best_chosen"
    best: str
    chosen_on: str
    means: dict[str, float]
    pareto_means: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The end. `test` holds the untouched means of seed and best, when there is a test split."""

    kind: ClassVar[str] = "run_finished"
    best: str
    test: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrapped:
    """Of `asked` rollouts of the initial prompt so many `qualified` as demonstrations, from the reward
    `threshold` on."""

    kind: ClassVar[str] = "bootstrapped"
    step: int
    asked: int
    qualified: int
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionAdded:
    """One more thing to choose in this `dimension`: texts of components. `examples` are those that it shows;
    `proposal` is the key of the fact of a written one."""

    kind: ClassVar[str] = "option_added"
    step: int
    dimension: str
    number: int
    components: dict[str, str]
    examples: list[str]
    proposal: str
    rationale: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStarted:
    """A combination of options, one number for each dimension, goes to these examples."""

    kind: ClassVar[str] = "trial_started"
    step: int
    generation: int
    candidate: str
    choice: list[int]
    examples: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEnded:
    """`mean` of this trial's examples that were scored; `estimate` of the mean on all alike, from the
    `examples` that the combination was scored on so far."""

    kind: ClassVar[str] = "trial_ended"
    step: int
    candidate: str
    mean: float | None
    scored: int
    failed: int
    estimate: float | None
    examples: int


Decision = (
    RunStarted
    | StepStarted
    | StepSkipped
    | ProposalRejected
    | ChildProposed
    | GateDecided
    | CandidateAdmitted
    | HeadMoved
    | LaneResumed
    | LanesChanged
    | ValidationStarted
    | ValidationEnded
    | EvaluationDeferred
    | RungEnded
    | ProxyCalibrated
    | ProxyDecided
    | PoolChanged
    | PoolJudged
    | CandidateRetired
    | Bootstrapped
    | OptionAdded
    | TrialStarted
    | TrialEnded
    | SearchEnded
    | BestChosen
    | RunFinished
)

KINDS: Mapping[str, type[Any]] = types.MappingProxyType({cls.kind: cls for cls in typing.get_args(Decision)})


def to_record(decision: Decision) -> dict[str, JsonValue]:
    """The JSON form: `kind`, `version` and the fields."""
    fields = {field.name: getattr(decision, field.name) for field in dataclasses.fields(decision)}
    return {"kind": decision.kind, "version": RECORD_VERSION, **fields}


def from_record(record: Mapping[str, JsonValue]) -> Decision:
    """The decision in this JSON form. Raises ValueError on an unknown kind or a newer version."""
    body = dict(record)
    kind, version = body.pop("kind", None), body.pop("version", None)
    if type(version) is not int or not 1 <= version <= RECORD_VERSION:
        raise ValueError(f"decision of version {version!r}; this program reads 1 to {RECORD_VERSION}")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"unknown decision {kind!r}")
    try:
        decision: Decision = KINDS[kind](**body)
    except TypeError as error:
        raise ValueError(f"{kind}: {error}") from error
    return decision
