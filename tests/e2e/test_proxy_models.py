"""A job with `proxy_models` from its document to its report: who was asked for what, at which price."""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from container.plain import KEY, Plain, running
from paretune.cli.show import as_data, show
from paretune.config import PromptLearningConfig
from paretune.core.errors import Misconfigured
from paretune.engine.launch import launched, new_run
from paretune.engine.run import Runner
from paretune.engine.verify import check_record, replay_record
from paretune.store import MemoryStore
from paretune.views.proxy import proxy
from paretune.views.run_view import RunView, read

MODELS = {
    "hi_provider": "openai",
    "hi_model": "gpt-4o",
    "lo_provider": "groq",
    "lo_model": "gpt-oss-20b",
    "n_min_hi": 6,
}
TOKENS = {"prompt_tokens": 1000, "completion_tokens": 100}
HI_USD, LO_USD = (1000 * 2.5 + 100 * 10) / 1e6, (1000 * 0.075 + 100 * 0.3) / 1e6


class Two(Plain):
    """Rewards by text and seed; the cheap model is off on every tenth seed. `asked` counts by model."""

    asked: ClassVar[Counter[str]] = Counter()
    lock = threading.Lock()

    def rollout(self, request: dict[str, Any]) -> None:
        policy, seed = request["policy"]["config"], request["env"]["seed"]
        with self.lock:
            self.asked[f"{policy['provider']}/{policy['model']}"] += 1
        text = policy["prompt_template"]["messages"][0]["content"]
        off = seed % 10 == 0 and policy["model"] == "gpt-oss-20b"
        score = zlib.crc32(f"{text}/{seed}/{off}".encode()) % 100 / 100
        answer = self.answer(request["trace_correlation_id"], score) | {"usage": TOKENS}
        answer["actionable_side_info"] = {"input": f"word {seed}", "output": "so", "expected": f"w{seed}"}
        self.send(200, answer)


@pytest.fixture(scope="module")
def task() -> Iterator[str]:
    with running(Two) as url:
        yield url


def document(url: str, models: dict[str, Any], **more: Any) -> PromptLearningConfig:
    message = {"role": "system", "pattern": "Say the word.", "order": 0}
    gepa = {
        "rng_seed": 2,
        "proposer_type": "operators",
        "pipeline": {"mode": "sync"},
        "evaluation": {"seeds": list(range(60))},
        "archive": {"pareto_set_size": 40},
        "rollout": {"budget": 1000, "max_concurrent": 8, "minibatch_size": 3},
        "rungs": {"cells": 0.3},
        "population": {
            "initial_size": 1,
            "num_generations": 30,
            "children_per_generation": 1,
            "patience_generations": 0,
        },
    }
    return PromptLearningConfig.from_mapping(
        {
            "algorithm": "gepa",
            "task_app_url": url,
            "initial_prompt": {"messages": [message]},
            "gepa": gepa,
            "proxy_models": models,
            **more,
        }
    )


async def carried(config: PromptLearningConfig) -> tuple[MemoryStore, RunView]:
    store = MemoryStore()
    async with launched(config, {"ENVIRONMENT_API_KEY": KEY}) as launch:
        job = launch.ready.job
        run = new_run("run_1", job, launch.proposer, source={})
        store.create_run(run)
        await Runner(store, run.id, job, launch.ready.executor, launch.proposer).run()
    return store, read(store, run.id)


def test_both_models_are_asked_at_their_prices_and_the_report_says_what_that_saved(
    task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Two.asked.clear()
    store, view = asyncio.run(carried(document(task, MODELS, termination_config={"max_cost_usd": 50.0})))
    hi, lo = view.ledger.role("rollout"), view.ledger.role("proxy")
    assert Two.asked == {"openai/gpt-4o": hi.calls, "groq/gpt-oss-20b": lo.calls}
    assert hi.usd == pytest.approx(hi.calls * HI_USD)
    assert lo.usd == pytest.approx(lo.calls * LO_USD)
    found = proxy(view)
    assert found is not None
    assert found.state == "on"
    assert found.price == pytest.approx(LO_USD / HI_USD)
    assert found.correlation > 0.7
    assert found.stopped > 0
    assert found.net_usd == pytest.approx(found.spared * HI_USD - lo.calls * LO_USD)
    assert as_data(view)["proxy"]["spared"] == found.spared
    show(view)
    assert f"{found.asked} cheap rollouts screened {found.screened} candidates" in capsys.readouterr().out
    assert check_record(store, view.run.id) == []
    assert replay_record(store, view.run.id) == len(view.decisions)


def test_r2_screens_with_the_documented_thresholds(task: str) -> None:
    _, view = asyncio.run(carried(document(task, {**MODELS, "rule": "r2"})))
    found = proxy(view)
    assert found is not None
    assert (found.rule, found.state) == ("r2", "on")
    _, strict = asyncio.run(carried(document(task, {**MODELS, "rule": "r2", "r2_thresh": 0.999})))
    untried = proxy(strict)
    assert untried is not None
    assert (untried.state, untried.screened, untried.spared) == ("calibrating", 0, 0)


def test_it_ends_once_it_cost_more_than_its_patience(task: str) -> None:
    _, view = asyncio.run(carried(document(task, {**MODELS, "proxy_patience_usd": 0.0})))
    found = proxy(view)
    assert found is not None
    assert (found.state, found.reason) == ("off", "beyond proxy_patience_usd")


@pytest.mark.parametrize(
    ("models", "more", "field"),
    [
        ({**MODELS, "lo_provider": "openai", "lo_model": "gpt-4o"}, {}, "proxy_models.lo_model"),
        (MODELS, {"policy": {"provider": "openai", "model": "gpt-5"}}, "proxy_models.hi_model"),
        (
            {**MODELS, "lo_model": "nobody-knows-it"},
            {"termination_config": {"max_cost_usd": 5.0}},
            "proxy_models.lo_estimated_cost_usd",
        ),
    ],
)
def test_models_that_do_not_fit_together_are_refused(
    task: str, models: dict[str, Any], more: dict[str, Any], field: str
) -> None:
    with pytest.raises(Misconfigured, match=field.replace(".", r"\.")):
        asyncio.run(carried(document(task, models, **more)))
