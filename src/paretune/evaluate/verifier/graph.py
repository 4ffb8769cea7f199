"""A verdict: all judges of a graph asked, and what they say put together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from paretune.core.errors import AttemptFailed, FailureKind
from paretune.evaluate.verifier.judge import Judgement, Mark
from paretune.evaluate.verifier.rubric import PARTS, Graph, Method, Node, Part


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says about one rollout. `failed` maps nodes that gave no answer of their own to why."""

    events: float | None
    outcome: float | None
    marks: tuple[Mark, ...] = ()
    failed: Mapping[str, str] | None = None

    def part(self, part: Part) -> float | None:
        return self.events if part == "events" else self.outcome


Ask = Callable[[Node, tuple[Judgement, ...]], Awaitable[Judgement]]
"""A judge's answer, given those of the nodes that lead to it. Raises AttemptFailed."""


async def verdict_of(graph: Graph, ask: Ask) -> Verdict:
    """Nodes are asked as soon as those before them have answered, all others at the same time.

    Raises AttemptFailed if the output fails, or a node that others cannot go on without: when all that were
    asked have answered, for what they say is paid.
    """
    tasks: dict[str, asyncio.Task[Judgement | None]] = {}
    failed: dict[str, str] = {}

    async def answer(node: Node) -> Judgement | None:
        """None where the node is skipped."""
        before = [await tasks[name] for name in graph.before(node.name)]
        known = tuple(judgement for judgement in before if judgement is not None)
        try:
            if node.rubric is not None:
                return await ask(node, known)
            names = [n for n, judgement in zip(graph.before(node.name), before, strict=True) if judgement]
            return aggregate(node, names, known)
        except AttemptFailed as error:
            if node.failing == "fail":
                raise
            failed[node.name] = error.message
            return _default(graph, node) if node.failing == "default" else None

    for node in graph.order():
        tasks[node.name] = asyncio.create_task(answer(node))
    try:
        ends = await asyncio.gather(*tasks.values(), return_exceptions=True)
    finally:
        for task in tasks.values():
            task.cancel()
    if errors := [end for end in ends if isinstance(end, BaseException)]:
        raise next((error for error in errors if not isinstance(error, AttemptFailed)), errors[0])
    result = tasks[graph.output].result()
    if result is None:
        raise AttemptFailed(FailureKind.VERIFIER, f"{graph.output} was skipped: {failed[graph.output]}")
    judges = [tasks[node.name].result() for node in graph.judges]
    marks = tuple(mark for judgement in judges if judgement for mark in judgement.marks)
    return Verdict(result.events, result.outcome, marks, failed or None)


def aggregate(node: Node, names: Sequence[str], inputs: Sequence[Judgement]) -> Judgement:
    """Each part over those inputs that have it. Raises AttemptFailed(VERIFIER) where nothing is left."""
    if not inputs:
        raise AttemptFailed(FailureKind.VERIFIER, f"all that leads to {node.name} was skipped")
    found: dict[Part, float | None] = {}
    for part in PARTS:
        pairs = [
            (n, value) for n, one in zip(names, inputs, strict=True) if (value := one.part(part)) is not None
        ]
        weights = [node.weights.get(name, 1.0) for name, _ in pairs]
        found[part] = _together(node.method, [value for _, value in pairs], weights) if pairs else None
    return Judgement(found["events"], found["outcome"])


def _together(method: Method, values: Sequence[float], weights: Sequence[float]) -> float | None:
    match method:
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "median":
            return float(median(values))
        case "weighted":
            total = sum(weights)
            return sum(w * v for w, v in zip(weights, values, strict=True)) / total if total else None
        case _:
            return sum(values) / len(values)


def _default(graph: Graph, node: Node) -> Judgement:
    parts = Graph(graph.nodes, graph.edges, node.name).parts()
    events, outcome = (node.default if part in parts else None for part in PARTS)
    return Judgement(events, outcome)
