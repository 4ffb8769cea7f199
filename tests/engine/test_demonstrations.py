"""A GEPA job whose demonstrations are evolved, on a task that nothing else helps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from paretune.config import PromptLearningConfig
from paretune.console.pages import BY_NAME, Paths, fragment
from paretune.console.view import Asked
from paretune.container import Container, Prompt, Result
from paretune.core.demonstrations import load
from paretune.core.errors import Misconfigured
from paretune.engine.launch import launched
from paretune.engine.run import Runner
from paretune.engine.verify import replay_record
from paretune.store import MemoryStore
from paretune.views.conversation import conversation
from paretune.views.keys import key_effects
from paretune.views.run_view import RunView, read
from paretune.views.warnings import warnings
from support.runs import begin

COLOURS = ("amber", "blue", "crimson", "denim")
PROGRAM = {"tell": "Name the colour of the box.", "ask": "Box {box}:"}
MESSAGES = [
    {"role": "system", "name": "tell", "pattern": PROGRAM["tell"], "order": 0},
    {"role": "user", "name": "ask", "pattern": PROGRAM["ask"], "order": 1},
]


def task(**settings: Any) -> Container:
    """The model names a colour that it was shown: as a turn, or as text."""
    made = Container("boxes", seeds=range(60), **settings)

    @made.rollout
    def rollout(prompt: Prompt, seed: int) -> Result:
        box, colour = " ".join(f"{seed:02}{sign}" for sign in "abcdefghijklmn"), COLOURS[seed % 4]
        messages = prompt.messages(box=box)
        assert box in messages[-1]["content"]
        turns = [m["content"] for m in messages if m["role"] == "assistant"]
        lines = [line for m in messages for line in m["content"].splitlines()]
        said = colour if colour in turns or f"Output: {colour}" in lines else "grey"
        return Result(float(said == colour), input=box, output=said, expected=colour)

    return made


def document(url: str, **gepa: Any) -> dict[str, Any]:
    return {
        "prompt_learning": {
            "algorithm": "gepa",
            "task_app_url": url,
            "gepa": {
                "proposer_type": "operators",
                "demonstrations": True,
                "rollout": {"budget": 400, "minibatch_size": 4, "max_concurrent": 8},
                "evaluation": {"seeds": list(range(24)), "test_pool": list(range(40, 48))},
                "archive": {"pareto_set_size": 8},
                **gepa,
            },
        }
    }


async def carried(config: PromptLearningConfig) -> tuple[MemoryStore, str]:
    store = MemoryStore()
    async with launched(config, {}) as launch:
        run_id = begin(store, launch.ready.job, launch.proposer)
        await Runner(store, run_id, launch.ready.job, launch.ready.executor, launch.proposer).run()
    return store, run_id


def carry(made: Container, **more: Any) -> tuple[MemoryStore, RunView]:
    with made.running() as url:
        told = document(url)
        told["prompt_learning"] |= more
        store, run_id = asyncio.run(carried(PromptLearningConfig.from_mapping(told)))
    assert replay_record(store, run_id)
    return store, read(store, run_id)


def candidate_page(store: MemoryStore, view: RunView, candidate: str, against: str = "seed") -> str:
    paths = Paths("", view.run.id)
    asked = Asked(view, view.run.status, store, paths, {"candidate": candidate}, {"against": against})
    return fragment(BY_NAME["candidate"], asked)


@pytest.mark.parametrize(
    ("settings", "more", "hosts"),
    [
        ({}, {"initial_prompt": {"messages": MESSAGES}}, {}),
        ({"program": PROGRAM}, {}, {"demonstrations": "tell"}),
    ],
    ids=["turns", "text"],
)
def test_the_search_finds_what_to_show(
    settings: dict[str, Any], more: dict[str, Any], hosts: Mapping[str, str]
) -> None:
    store, view = carry(task(**settings), **more)
    surface = view.run.job["surface"]
    assert (surface["formats"], surface["hosts"]) == ({"demonstrations": "demonstrations"}, hosts)
    assert view.seed.components["demonstrations"] == "[]"
    assert view.best is not None
    shown = load(view.best.components["demonstrations"])
    assert len({one.output for one in shown}) >= 3
    assert {one.example for one in shown} <= set(view.splits["reflect"])
    seed, best = (sum(view.rewards(row.id, "test").values()) for row in (view.seed, view.best))
    assert best >= seed + 4
    said = conversation(view.best.components, view.run.job["components"], surface)
    assert [turn.role for turn in said].count("assistant") == (0 if hosts else len(shown))
    assert all(one.output in "".join(turn.text for turn in said) for one in shown)
    effects = {effect.key: effect.effect for effect in key_effects(view)}
    assert effects["gepa.demonstrations"] == f"the best text shows {len(shown)} solved examples"
    assert not [warned for warned in warnings(view) if warned.kind == "copied"]
    page = candidate_page(store, view, view.best.id)
    assert page.count('<span class="tag">new</span>') == len(shown)
    assert all(f'<pre class="text">{one.plain}</pre>' in page for one in shown)
    assert "No longer shown" in candidate_page(store, view, view.seed.id, view.best.id)
    assert "No solved example is shown." in candidate_page(store, view, view.seed.id)


def test_a_component_of_that_name_is_taken() -> None:
    with pytest.raises(Misconfigured, match=r"gepa\.demonstrations"):
        carry(task(program={**PROGRAM, "demonstrations": "?"}))
