"""Candidates: named texts with a content id and their lineage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from paretune.core.canonical import digest

CandidateId = str
Origin = Literal["seed", "mutation", "merge", "join", "ablation", "trial"]


def content_id(components: Mapping[str, str]) -> CandidateId:
    """The id of these texts: equal texts have equal ids, whoever wrote them."""
    return "c_" + digest(dict(components), 16)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Component name -> text, and where it came from.

    `id` is a digest of the components alone, so that the same text found twice is one candidate.
    `parents` is empty for a seed, one id for a mutation, a trial (other options for its
    parts) or an ablation (without some lines), two for a merge or a join.
    """

    components: Mapping[str, str]
    parents: tuple[CandidateId, ...] = ()
    generation: int = 0
    origin: Origin = "seed"
    id: CandidateId = field(init=False)

    def __post_init__(self) -> None:
        if not self.components:
            raise ValueError("a candidate needs at least one component")
        object.__setattr__(self, "components", dict(self.components))
        object.__setattr__(self, "id", content_id(self.components))

    def __hash__(self) -> int:
        return hash(self.id)
