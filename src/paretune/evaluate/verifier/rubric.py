"""Rubrics, and graphs of them: what a verifier is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from paretune.core.canonical import JsonValue
from paretune.core.errors import Misconfigured

Part = Literal["events", "outcome"]
PARTS: tuple[Part, ...] = ("events", "outcome")
Method = Literal["mean", "min", "max", "median", "weighted"]
MOST_NODES = 32


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing to be judged, on a scale from 0 to 1. `weight` counts among the criteria of its part."""

    id: str
    description: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Rubric:
    """`events` are asked of each event of a rollout, `outcome` of the whole; either may be empty."""

    goal: str = ""
    events: tuple[Criterion, ...] = ()
    outcome: tuple[Criterion, ...] = ()

    def criteria(self, part: Part) -> tuple[Criterion, ...]:
        return self.events if part == "events" else self.outcome


@dataclass(frozen=True, slots=True)
class Node:
    """A judge (with a rubric) or an aggregation (without one) of the nodes that lead to it.

    `model` empty: the verifier's own. `failing` says what the node answers when it fails: nothing that
    anybody can go on with (`fail`), nothing at all (`skip`), or `default` for each of its parts.
    """

    name: str
    rubric: Rubric | None = None
    model: str = ""
    method: Method = "mean"
    weights: Mapping[str, float] = field(default_factory=dict)
    failing: Literal["fail", "skip", "default"] = "fail"
    default: float = 0.0


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes and the edges between them, from and to. The answer is that of `output`.

    Raises Misconfigured, naming the node, if an edge leads nowhere, nodes lead back to themselves, or the
    output cannot be told.
    """

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...] = ()
    output: str = ""

    def __post_init__(self) -> None:
        names = [node.name for node in self.nodes]
        if not names or len(names) > MOST_NODES:
            raise Misconfigured("graph.nodes", f"a verifier has 1 to {MOST_NODES} nodes, not {len(names)}")
        for name in names:
            if names.count(name) > 1:
                raise Misconfigured("graph.nodes", f"{name!r} is there twice")
        for name in [end for edge in self.edges for end in edge] + ([self.output] if self.output else []):
            if name not in names:
                raise Misconfigured("graph.edges", f"there is no node {name!r}")
        for node in self.nodes:
            before = self.before(node.name)
            if node.rubric is None and not before:
                raise Misconfigured("graph.edges", f"no edge leads to {node.name!r}, which aggregates")
            if strangers := sorted(node.weights.keys() - set(before)):
                raise Misconfigured(
                    "graph.nodes", f"{node.name!r} weighs {strangers[0]!r}, which does not lead to it"
                )
        self.order()
        if not self.output:
            object.__setattr__(self, "output", self._only_end())

    def _only_end(self) -> str:
        ends = [node.name for node in self.nodes if not any(edge[0] == node.name for edge in self.edges)]
        if len(ends) > 1:
            raise Misconfigured("graph.output", f"several nodes lead nowhere; name one: {', '.join(ends)}")
        return ends[0]

    def before(self, name: str) -> tuple[str, ...]:
        """The nodes that lead to this one, in the order of the edges."""
        return tuple(dict.fromkeys(start for start, end in self.edges if end == name))

    def order(self) -> tuple[Node, ...]:
        """Each node behind all that lead to it. Raises Misconfigured if there is a circle."""
        left, done = list(self.nodes), dict[str, Node]()
        while left:
            ready = [node for node in left if all(name in done for name in self.before(node.name))]
            if not ready:
                circle = ", ".join(repr(node.name) for node in left)
                raise Misconfigured("graph.edges", f"these nodes lead back to themselves: {circle}")
            done |= {node.name: node for node in ready}
            left = [node for node in left if node.name not in done]
        return tuple(done.values())

    @property
    def judges(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.rubric is not None)

    def parts(self) -> frozenset[Part]:
        """What the output answers where nothing is skipped."""
        found: dict[str, frozenset[Part]] = {}
        for node in self.order():
            if node.rubric is not None:
                found[node.name] = frozenset(part for part in PARTS if node.rubric.criteria(part))
            else:
                found[node.name] = frozenset().union(*(found[name] for name in self.before(node.name)))
        return found[self.output]

    def record(self) -> JsonValue:
        """All of it, for a digest."""
        return {
            "nodes": [asdict(node) for node in self.nodes],
            "edges": [list(edge) for edge in self.edges],
            "output": self.output,
        }


def alone(rubric: Rubric) -> Graph:
    """The graph of a single judge."""
    return Graph((Node("judge", rubric),))


def only(graph: Graph, *, events: bool, outcome: bool) -> Graph:
    """The graph without the parts that are switched off. Raises Misconfigured if nothing is left to judge."""
    wanted = {"events": events, "outcome": outcome}
    return Graph(tuple(_kept(graph, wanted)), graph.edges, graph.output)


def _kept(graph: Graph, wanted: Mapping[str, bool]) -> Iterator[Node]:
    for node in graph.nodes:
        if node.rubric is None:
            yield node
            continue
        rubric = Rubric(
            node.rubric.goal,
            node.rubric.events if wanted["events"] else (),
            node.rubric.outcome if wanted["outcome"] else (),
        )
        if not rubric.events and not rubric.outcome:
            raise Misconfigured(
                "judge.backend_event_enabled",
                f"nothing is left for {node.name!r} to judge: its rubric has no part that is switched on",
            )
        yield Node(node.name, rubric, node.model, node.method, node.weights, node.failing, node.default)


STANDARD = Rubric(
    goal="The answer does what the task asks for.",
    events=(Criterion("useful", "The step brings the task closer to its end and states nothing false."),),
    outcome=(
        Criterion(
            "correct", "The answer is right: it agrees with the expected answer where one is given.", 2.0
        ),
        Criterion("complete", "Everything that was asked for is there, in the form that was asked for."),
    ),
)
"""Used where nothing says what good rollouts are."""
