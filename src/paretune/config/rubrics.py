"""Rubrics and verifier graphs as documents: in a job, or registered under a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from paretune.config.base import Section, read_section
from paretune.core.errors import Misconfigured

Id = Annotated[str, Field(min_length=1, max_length=80)]
Text = Annotated[str, Field(max_length=20_000)]


class CriterionConfig(Section):
    """One thing to be judged from 0 to 1; `weight` counts among the criteria of its part."""

    id: Id
    description: Annotated[str, Field(min_length=1, max_length=4_000)]
    weight: float = Field(1.0, gt=0)


class RubricConfig(Section):
    """`outcome` criteria are asked of the whole rollout, `events` criteria of each of its steps."""

    INSTEAD: ClassVar[Mapping[str, str]] = {"criteria": "write outcome, or events for criteria of each step"}

    goal: Text = ""
    outcome: list[CriterionConfig] = Field(default_factory=list, max_length=40)
    events: list[CriterionConfig] = Field(default_factory=list, max_length=20)

    @model_validator(mode="after")
    def _judges_something(self) -> RubricConfig:
        if not self.outcome and not self.events:
            raise ValueError("give at least one criterion under outcome or events")
        for part in (self.outcome, self.events):
            names = [one.id for one in part]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"criterion {twice[0]!r} is there twice")
        return self


class NodeConfig(Section):
    """A judge with a rubric, or an aggregation of the nodes that lead to it.

    `on_failure`: `fail` (no verdict), `skip` (the others go on without it) or `default`, the value that it
    then answers. `weights` (node to weight, 1 where none is given) are for `weighted`.
    """

    name: Id
    kind: Literal["judge", "aggregate"] = "judge"
    rubric: RubricConfig | None = None
    model: str = ""
    method: Literal["mean", "min", "max", "median", "weighted"] = "mean"
    weights: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    on_failure: Literal["fail", "skip", "default"] = "fail"
    default: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _is_of_its_kind(self) -> NodeConfig:
        if (self.kind == "judge") != (self.rubric is not None):
            raise ValueError(f"{self.name!r}: a judge has a rubric, an aggregate has none")
        if self.kind == "aggregate" and self.model:
            raise ValueError(f"{self.name!r}: an aggregate asks no model")
        if self.weights and self.method != "weighted":
            raise ValueError(f"{self.name!r}: weights are for method 'weighted'")
        if "default" in self.model_fields_set and self.on_failure != "default":
            raise ValueError(f"{self.name!r}: default is for on_failure = 'default'")
        return self


class EdgeConfig(Section):
    """Also written as a pair: `["strict", "all"]`."""

    source: Id
    target: Id

    @model_validator(mode="before")
    @classmethod
    def _of_other_spellings(cls, data: Any) -> Any:
        if isinstance(data, list | tuple) and len(data) == 2:
            return {"source": data[0], "target": data[1]}
        return data


class GraphConfig(Section):
    """Nodes and edges without circles; `output` may be left out where one node leads nowhere."""

    nodes: list[NodeConfig] = Field(min_length=1, max_length=32)
    edges: list[EdgeConfig] = Field(default_factory=list, max_length=256)
    output: str = ""

    def pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple((edge.source, edge.target) for edge in self.edges)


@dataclass(frozen=True, slots=True)
class VerifierDocument:
    """What is registered under a name: a rubric or a graph."""

    rubric: RubricConfig | None = None
    graph: GraphConfig | None = None

    @property
    def kind(self) -> Literal["rubric", "graph"]:
        return "rubric" if self.rubric is not None else "graph"

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], path: str = "verifier") -> VerifierDocument:
        """Raises Misconfigured naming the dotted field."""
        if strange := sorted(data.keys() - {"rubric", "graph"}):
            raise Misconfigured(f"{path}.{strange[0]}", "unknown key; give rubric or graph")
        if len(data) != 1:
            raise Misconfigured(path, "give a rubric or a graph, one of the two")
        if "rubric" in data:
            return cls(rubric=read_section(RubricConfig, data["rubric"], f"{path}.rubric"))
        return cls(graph=read_section(GraphConfig, data["graph"], f"{path}.graph"))

    def to_dict(self) -> dict[str, Any]:
        """What was given."""
        section = self.rubric or self.graph
        assert section is not None
        return {self.kind: section.model_dump(exclude_unset=True, exclude_none=True)}
