"""Two policies of one job: what each sends, and what does not fit together."""

from __future__ import annotations

from typing import Any

import pytest

from paretune.config import PromptLearningConfig
from paretune.core.errors import Misconfigured
from paretune.engine.tiers import hi_model, hi_policy, lo_policy, proxy_models

MODELS = {"hi_provider": "openai", "hi_model": "big", "lo_provider": "groq", "lo_model": "small"}
POLICY = {"provider": "mine", "model": "big", "inference_url": "http://hi/v1", "config": {"style": "short"}}
SEEDS: dict[str, Any] = {"bootstrap_train_seeds": [0, 1, 2], "online_pool": [3, 4, 5]}
PLAIN = {"provider": "openai", "model": "big"}


def config(models: dict[str, Any] | None, **more: Any) -> PromptLearningConfig:
    task = {"algorithm": "gepa", "task_app_url": "http://127.0.0.1:1"}
    return PromptLearningConfig.from_mapping({**task, "proxy_models": models, **more})


def test_the_cheap_policy_is_the_jobs_own_but_for_model_provider_and_address() -> None:
    given = config({**MODELS, "hi_provider": "mine", "hi_inference_url": "http://hi/v1"}, policy=POLICY)
    models = proxy_models(given)
    assert models is not None
    hi, lo = hi_policy(given), lo_policy(given, models)
    assert (hi["provider"], hi["model"], hi["inference_url"]) == ("mine", "big", "http://hi/v1")
    assert (lo["provider"], lo["model"]) == ("groq", "small")
    assert "inference_url" not in lo
    assert {k: v for k, v in hi.items() if k not in ("provider", "model", "inference_url")} == {
        k: v for k, v in lo.items() if k not in ("provider", "model")
    }
    other = config({**MODELS, "lo_inference_url": "http://lo/v1"})
    assert other.proxy_models is not None
    assert lo_policy(other, other.proxy_models)["inference_url"] == "http://lo/v1"


def test_without_a_policy_the_models_are_named_by_proxy_models() -> None:
    given = config(MODELS)
    assert hi_model(given) == "big"
    assert hi_policy(given) == {"provider": "openai", "model": "big"}


@pytest.mark.parametrize(
    "models",
    [{"hi_model": "other"}, {"hi_provider": "groq"}, {"hi_inference_url": "http://other/v1"}],
)
def test_another_hi_than_the_policy_is_refused(models: dict[str, str]) -> None:
    own = {**MODELS, "hi_provider": "mine", "hi_inference_url": "http://hi/v1"}
    with pytest.raises(Misconfigured, match=next(iter(models))):
        hi_policy(config({**own, **models}, policy=POLICY))


def test_mipro_has_the_same_section() -> None:
    for algorithm in ("mipro", "gepa+mipro"):
        given = config(None, algorithm=algorithm, mipro={**SEEDS, "proxy_models": MODELS}, policy=PLAIN)
        models = proxy_models(given)
        assert models is not None
        assert lo_policy(given, models)["model"] == "small"
    unread = config(None, mipro={**SEEDS, "proxy_models": MODELS})
    assert proxy_models(unread) is None  # by GEPA
    both = {
        "gepa": {"proxy_models": MODELS},
        "mipro": {**SEEDS, "proxy_models": {**MODELS, "lo_model": "tiny"}},
    }
    with pytest.raises(Misconfigured, match=r"gepa\.proxy_models"):
        proxy_models(config(None, algorithm="gepa+mipro", **both))


def test_stages_with_policies_of_their_own_have_no_cheap_one() -> None:
    stages = [
        {"stage_id": name, "baseline_instruction": "Do it.", "policy": PLAIN} for name in ("plan", "answer")
    ]
    mipro = {**SEEDS, "proxy_models": MODELS, "modules": [{"module_id": "all", "stages": stages}]}
    with pytest.raises(Misconfigured, match="each stage has its own"):
        hi_policy(config(None, algorithm="mipro", mipro=mipro))
