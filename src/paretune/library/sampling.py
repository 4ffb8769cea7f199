"""How many proposals an iteration makes: pairs of a parent and a minibatch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, runtime_checkable

from paretune.core.errors import Misconfigured
from paretune.library.types import DataId, DataInst

if TYPE_CHECKING:
    from paretune.library.loaders import DataLoader
    from paretune.library.samplers import BatchSampler
    from paretune.library.selectors import CandidateSelector
    from paretune.library.state import GEPAState


@dataclass
class ProposalTask(Generic[DataId, DataInst]):
    """One proposal to make: whom to improve, looking at what."""

    parent_idx: int
    parent_candidate: dict[str, str]
    minibatch_ids: list[DataId]
    minibatch: list[DataInst]


@runtime_checkable
class SamplingStrategy(Protocol):
    """Says which proposals an iteration makes; they know nothing of each other."""

    def sample_tasks(
        self,
        state: GEPAState[Any, Any],
        candidate_selector: CandidateSelector,
        batch_sampler: BatchSampler[Any, Any],
        trainset: DataLoader[Any, Any],
    ) -> list[ProposalTask[Any, Any]]: ...


class PxNSampling(SamplingStrategy):
    """`p` draws of a parent, for each of them `n` minibatches. Raises Misconfigured below 1."""

    def __init__(self, p: int, n: int) -> None:
        self.p = _at_least_one("p", p)
        self.n = _at_least_one("n", n)

    def sample_tasks(
        self,
        state: GEPAState[Any, Any],
        candidate_selector: CandidateSelector,
        batch_sampler: BatchSampler[Any, Any],
        trainset: DataLoader[Any, Any],
    ) -> list[ProposalTask[Any, Any]]:
        return _tasks(self.p, self.n, state, candidate_selector, batch_sampler, trainset)


class SingleMutationSampling(SamplingStrategy):
    """One parent, one minibatch."""

    def sample_tasks(
        self,
        state: GEPAState[Any, Any],
        candidate_selector: CandidateSelector,
        batch_sampler: BatchSampler[Any, Any],
        trainset: DataLoader[Any, Any],
    ) -> list[ProposalTask[Any, Any]]:
        return _tasks(1, 1, state, candidate_selector, batch_sampler, trainset)


class SameParentSampling(SamplingStrategy):
    """One parent, `n` minibatches. Raises Misconfigured below 1."""

    def __init__(self, n: int) -> None:
        self.n = _at_least_one("n", n)

    def sample_tasks(
        self,
        state: GEPAState[Any, Any],
        candidate_selector: CandidateSelector,
        batch_sampler: BatchSampler[Any, Any],
        trainset: DataLoader[Any, Any],
    ) -> list[ProposalTask[Any, Any]]:
        return _tasks(1, self.n, state, candidate_selector, batch_sampler, trainset)


class IndependentSampling(SamplingStrategy):
    """`n` times one parent and one minibatch. Raises Misconfigured below 1."""

    def __init__(self, n: int) -> None:
        self.n = _at_least_one("n", n)

    def sample_tasks(
        self,
        state: GEPAState[Any, Any],
        candidate_selector: CandidateSelector,
        batch_sampler: BatchSampler[Any, Any],
        trainset: DataLoader[Any, Any],
    ) -> list[ProposalTask[Any, Any]]:
        return _tasks(self.n, 1, state, candidate_selector, batch_sampler, trainset)


def _tasks(
    parents: int,
    minibatches: int,
    state: GEPAState[Any, Any],
    candidate_selector: CandidateSelector,
    batch_sampler: BatchSampler[Any, Any],
    trainset: DataLoader[Any, Any],
) -> list[ProposalTask[Any, Any]]:
    tasks = []
    for _ in range(parents):
        parent = candidate_selector.select_candidate_idx(state)
        for _ in range(minibatches):
            ids = batch_sampler.next_minibatch_ids(trainset, state)
            candidate = dict(state.program_candidates[parent])
            tasks.append(ProposalTask(parent, candidate, ids, trainset.fetch(ids)))
    return tasks


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise Misconfigured(name, f"must be 1 or more, not {value!r}")
    return value
