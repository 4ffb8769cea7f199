"""Pages of candidates, rollouts and proposals, of a run whose every text tries to be more than text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from paretune.console.pages import BY_NAME, Paths, page
from paretune.console.view import Asked, NoSuchView
from paretune.core import events
from paretune.core.errors import AttemptFailed, FailureKind
from paretune.core.rollout import Answer
from paretune.engine.run import Runner
from paretune.evaluate.executors import Dispatch
from paretune.store import MemoryStore
from paretune.views.run_view import RunView, read
from support.rulebook import RulebookExecutor
from support.runs import CASES, begin

HOSTILE = "</script></pre><script>alert(1)</script><img src=x onerror=alert(1)>'\"&"


class Hostile(RulebookExecutor):
    """Every third answer fails, and all texts are hostile."""

    async def run(self, batch: Sequence[Dispatch]) -> list[Answer | AttemptFailed]:
        return [self._hostile(d, answer) for d, answer in zip(batch, await super().run(batch), strict=True)]

    def _hostile(self, dispatch: Dispatch, answer: Answer | AttemptFailed) -> Answer | AttemptFailed:
        asked = dispatch.request
        fails = sum(asked.candidate.id.encode()) % 3 == 0 and int(asked.example.id[-1]) % 3 == 0
        if fails or isinstance(answer, AttemptFailed):
            return AttemptFailed(FailureKind.BAD_ANSWER, HOSTILE)
        said = [{"role": "assistant", "content": HOSTILE, "tool_calls": [{"name": HOSTILE, "input": {}}]}]
        return replace(
            answer,
            input=HOSTILE,
            output=HOSTILE,
            expected=HOSTILE,
            feedback=f"{answer.feedback} {HOSTILE}",
            trace={HOSTILE: [HOSTILE], "messages": said},
        )


async def hostile_run() -> tuple[MemoryStore, RunView]:
    case, store = CASES["merging"](3), MemoryStore()
    job = replace(case.job(), tolerance=0.9)
    run_id = begin(store, job, case.proposer())
    await Runner(store, run_id, job, Hostile(case.book), case.proposer()).run()
    return store, read(store, run_id)


def body(store: MemoryStore, run: RunView, name: str, query: dict[str, str], **params: str) -> str:
    asked = Asked(run, "succeeded", store, Paths("", run.run.id), params, query)
    text = page(BY_NAME[name], asked)
    assert "<script>alert" not in text
    assert "<img" not in text
    for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL):
        json.loads(block)
    return text


async def test_every_page_of_a_hostile_run() -> None:
    store, run = await hostile_run()
    for query in (
        {},
        {"sort": "mean"},
        {"sort": "gate", "order": "up", "state": "rejected"},
        {"text": HOSTILE},
    ):
        body(store, run, "candidates", query)
    for name in ("coverage", "lineage", "matrix"):
        body(store, run, name, {})
    for split in ("reflect", "select", "test"):
        body(store, run, "matrix", {"split": split})
    for candidate in run.rows:
        body(store, run, "candidate", {"against": "seed"}, candidate=candidate)
    for candidate, example, replicate in list(run.rollouts)[::9]:
        where = {"candidate": candidate, "example": example, "replicate": str(replicate)}
        assert "alert(1)" in body(store, run, "rollout", {}, **where)
    for failure in run.failures[:5]:
        where = {"candidate": failure.key.candidate, "example": failure.example, "replicate": "0"}
        assert "bad answer" in body(store, run, "rollout", {}, **where)
    for step in sorted({d.step for d in run.decisions if isinstance(d, events.ChildProposed)}):
        assert "exactly as it was sent" in body(store, run, "proposal", {}, step=str(step)) or any(
            isinstance(d, events.ChildProposed) and d.step == step and not d.proposal for d in run.decisions
        )


async def test_what_there_is_not_is_said() -> None:
    store, run = await hostile_run()
    example = run.splits["test"][0]
    idle = next(row.id for row in run.rows.values() if row.state == "rejected")
    where = {"candidate": idle, "example": example, "replicate": "0"}
    assert "was not asked this example" in body(store, run, "rollout", {}, **where)
    for name, params in (
        ("candidate", {"candidate": "c_0"}),
        ("rollout", {**where, "example": "nowhere"}),
        ("rollout", {**where, "replicate": "x"}),
        ("proposal", {"step": "9999"}),
        ("proposal", {"step": "x"}),
    ):
        with pytest.raises(NoSuchView):
            body(store, run, name, {}, **params)
    with pytest.raises(NoSuchView):
        body(store, run, "candidate", {"against": "c_0"}, candidate=idle)
