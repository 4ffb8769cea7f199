"""Graphs of judges: their shape, what they add up to, and what becomes of nodes that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from paretune.core.errors import AttemptFailed, FailureKind, Misconfigured
from paretune.core.rollout import Answer
from paretune.evaluate.verifier.fusion import Fusion, without_verdict
from paretune.evaluate.verifier.graph import Ask, Verdict, verdict_of
from paretune.evaluate.verifier.judge import Judgement, Mark
from paretune.evaluate.verifier.rubric import Criterion, Graph, Method, Node, Rubric, only

RUBRIC = Rubric(outcome=(Criterion("right", "Right."),))
FAN = (("a", "all"), ("b", "all"), ("c", "all"))


def judge(name: str, **more: Any) -> Node:
    return replace(Node(name, RUBRIC), **more)


def ask_for(
    answers: Mapping[str, Judgement | AttemptFailed], seen: dict[str, tuple[Judgement, ...]] | None = None
) -> Ask:
    async def ask(node: Node, before: tuple[Judgement, ...]) -> Judgement:
        if seen is not None:
            seen[node.name] = before
        found = answers[node.name]
        if isinstance(found, AttemptFailed):
            raise found
        return found

    return ask


def run(graph: Graph, answers: Mapping[str, Judgement | AttemptFailed]) -> Verdict:
    return asyncio.run(verdict_of(graph, ask_for(answers)))


def says(outcome: float, events: float | None = None) -> Judgement:
    return Judgement(events, outcome, (Mark("x", "outcome", "right", 0, outcome, "why"),))


THREE = {"a": says(0.2, 1.0), "b": says(0.3), "c": says(1.0, 0.5)}


@pytest.mark.parametrize(
    ("method", "weights", "outcome", "events"),
    [
        ("mean", {}, 0.5, 0.75),
        ("min", {}, 0.2, 0.5),
        ("max", {}, 1.0, 1.0),
        ("median", {}, 0.3, 0.75),
        ("weighted", {"a": 2.0, "b": 2.0}, (0.4 + 0.6 + 1.0) / 5, (2.0 + 0.5) / 3),
    ],
)
def test_fan_in(method: Method, weights: dict[str, float], outcome: float, events: float) -> None:
    """By hand: c, which is not named, weighs 1, and of the events only a and c speak."""
    node = Node("all", method=method, weights=weights)
    found = run(Graph((judge("a"), judge("b"), judge("c"), node), FAN), THREE)
    assert found.outcome == pytest.approx(outcome)
    assert found.events == pytest.approx(events)
    assert len(found.marks) == 3


def test_a_judge_may_read_what_others_said() -> None:
    graph = Graph(
        (judge("critic"), judge("left"), judge("right")), (("critic", "left"), ("critic", "right")), "left"
    )
    seen: dict[str, tuple[Judgement, ...]] = {}
    answers = {"critic": says(0.1), "left": says(0.9), "right": says(0.4)}
    found = asyncio.run(verdict_of(graph, ask_for(answers, seen)))
    assert found.outcome == 0.9
    assert seen == {"critic": (), "left": (answers["critic"],), "right": (answers["critic"],)}


BROKEN = AttemptFailed(FailureKind.SERVER_ERROR, "it burns")


@pytest.mark.parametrize(("failing", "outcome"), [("skip", 0.65), ("default", 0.6)])
def test_a_node_that_fails_answers_what_was_said(failing: str, outcome: float) -> None:
    nodes = (judge("a", failing=failing, default=0.5), judge("b"), judge("c"), Node("all"))
    found = run(Graph(nodes, FAN), {**THREE, "a": BROKEN})
    assert found.outcome == pytest.approx(outcome)
    assert found.failed == {"a": "it burns"}


def test_without_an_answer_of_its_own_it_fails_the_verdict() -> None:
    graph = Graph((judge("a"), judge("b"), judge("c"), Node("all")), FAN)
    with pytest.raises(AttemptFailed, match="it burns"):
        run(graph, {**THREE, "a": BROKEN})


def test_where_all_is_skipped_nothing_is_left() -> None:
    nodes = tuple(judge(name, failing="skip") for name in "abc")
    with pytest.raises(AttemptFailed, match="all that leads to all was skipped"):
        run(Graph((*nodes, Node("all")), FAN), dict.fromkeys("abc", BROKEN))
    found = run(
        Graph((*nodes, Node("all", failing="default", default=0.25)), FAN), dict.fromkeys("abc", BROKEN)
    )
    assert (found.outcome, found.events) == (0.25, None)


@pytest.mark.parametrize(
    ("nodes", "edges", "said"),
    [
        ((judge("a"), judge("b")), (("a", "b"), ("b", "a")), "lead back to themselves: 'a', 'b'"),
        ((judge("a"),), (("a", "z"),), "no node 'z'"),
        ((judge("a"), judge("a")), (), "'a' is there twice"),
        ((judge("a"), Node("sum")), (), "no edge leads to 'sum'"),
        ((judge("a"), judge("b")), (), "name one: a, b"),
        ((judge("a"), Node("sum", weights={"q": 1.0})), (("a", "sum"),), "weighs 'q'"),
        ((), (), "1 to 32 nodes"),
    ],
)
def test_a_graph_that_is_none_is_refused_by_name(
    nodes: tuple[Node, ...], edges: tuple[tuple[str, str], ...], said: str
) -> None:
    with pytest.raises(Misconfigured, match=said):
        Graph(nodes, edges)


VERDICT = Verdict(0.5, 0.75, (Mark("judge", "outcome", "right", 0, 0.75, "nearly"),))
ANSWER = Answer(0.25, {"brevity": 0.5}, feedback="one off", trace={"steps": [1]})


@pytest.mark.parametrize(
    ("fusion", "reward"),
    [
        (Fusion("task_app", 1.0, 1.0, 1.0), 0.25),
        (Fusion("judge"), (0.5 + 0.75) / 2),
        (Fusion("judge", 5.0, 1.0, 3.0), (0.5 + 3 * 0.75) / 4),
        (Fusion("judge", event=2.0), 0.5),
        (Fusion("fused", outcome=1.0), (0.25 + 0.75) / 2),
        (Fusion("fused", 2.0, 1.0, 1.0), (2 * 0.25 + 0.5 + 0.75) / 4),
        (Fusion("fused", 0.0, 0.0, 0.3), 0.75),
    ],
)
def test_rewards_by_hand(fusion: Fusion, reward: float) -> None:
    found = fusion.fused(ANSWER, VERDICT)
    assert found.reward == pytest.approx(reward, abs=1e-15)
    assert found.objectives == {"brevity": 0.5, "environment": 0.25, "events": 0.5, "outcome": 0.75}
    assert found.feedback == "one off\n\nVerifier: events 0.50, outcome 0.75\n- right 0.75: nearly"
    assert found.trace["steps"] == [1]
    assert found.trace["verdict"]["marks"][0]["explanation"] == "nearly"


def test_a_part_that_counts_must_be_there() -> None:
    with pytest.raises(AttemptFailed, match="a part that counts was not judged"):
        Fusion("fused", event=1.0).fused(ANSWER, Verdict(None, 1.0))
    graph = Graph((judge("a"),))
    with pytest.raises(Misconfigured, match=r"weight_event.*nothing judges the events"):
        Fusion("fused", event=1.0).refuse_for(graph)
    Fusion("task_app", event=1.0).refuse_for(graph)
    assert without_verdict(ANSWER, "gone").reward == 0.25


def test_parts_can_be_switched_off() -> None:
    both = Rubric(events=(Criterion("e", "E."),), outcome=(Criterion("o", "O."),))
    graph = Graph((Node("a", both),))
    assert graph.parts() == {"events", "outcome"}
    assert only(graph, events=False, outcome=True).parts() == {"outcome"}
    with pytest.raises(Misconfigured, match="nothing is left for 'a'"):
        only(graph, events=False, outcome=False)
