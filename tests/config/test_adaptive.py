"""Adaptive pools and batches: the documented presets, and what a job makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from paretune.config import (
    AdaptiveCurriculumLevel,
    AdaptivePoolConfig,
    GEPAConfig,
    MIPROConfig,
    PromptLearningConfig,
    resolve_adaptive_batch_config,
    resolve_adaptive_pool_config,
)

LEVELS = ("NONE", "LOW", "MODERATE", "HIGH")

POOL: dict[str, tuple[Any, Any, Any, Any]] = {
    "anchor_size": (0, 50, 30, 20),
    "pool_init_size": (None, 150, 100, 60),
    "pool_min_size": (None, 100, 50, 30),
    "warmup_iters": (999999, 10, 5, 3),
    "anneal_stop_iter": (999999, 30, 20, 10),
    "pool_update_period": (999999, 2, 3, 5),
    "min_evals_per_example": (1, 5, 3, 2),
    "k_info_prompts": (0, 15, 10, 5),
    "info_buffer_factor": (1.0, 0.95, 0.9, 0.8),
    "info_epsilon": (1e-6,) * 4,
    "anchor_selection_method": ("random", "clustering", "clustering", "clustering"),
    "exploration_strategy": ("random", "diversity", "diversity", "diversity"),
    "heatup_reserve_pool": (None,) * 4,
    "heatup_trigger": ("after_min_size",) * 4,
    "heatup_size": (20,) * 4,
    "heatup_cooldown_trials": (50,) * 4,
    "heatup_schedule": ("repeat",) * 4,
    "enabled": (False, True, True, True),
}

BATCH: dict[str, tuple[Any, Any, Any, Any]] = {
    "reflection_minibatch_size": (8, 5, 3, 2),
    "min_local_improvement": (0.0,) * 4,
    "val_evaluation_mode": ("full", "subsample", "subsample", "subsample"),
    "val_subsample_size": (64, 80, 64, 48),
    "candidate_selection_strategy": ("random", "coverage", "coverage", "coverage"),
    "enabled": (False, True, True, True),
}


@pytest.mark.parametrize("field", POOL)
def test_pool_presets(field: str) -> None:
    for level, value in zip(LEVELS, POOL[field], strict=True):
        assert getattr(resolve_adaptive_pool_config(level=level), field) == value, level


@pytest.mark.parametrize("field", BATCH)
def test_batch_presets(field: str) -> None:
    for level, value in zip(LEVELS, BATCH[field], strict=True):
        assert getattr(resolve_adaptive_batch_config(level=level), field) == value, level


def test_the_default_levels() -> None:
    assert resolve_adaptive_pool_config() == resolve_adaptive_pool_config(level="LOW")
    assert resolve_adaptive_batch_config() == resolve_adaptive_batch_config(level="MODERATE")


@pytest.mark.parametrize("level", [" high ", "High", AdaptiveCurriculumLevel.HIGH])
def test_levels_go_by_name(level: Any) -> None:
    assert resolve_adaptive_pool_config(level=level).anchor_size == 20


@pytest.mark.parametrize(
    ("resolve", "kind"), [(resolve_adaptive_pool_config, "pool"), (resolve_adaptive_batch_config, "batch")]
)
def test_an_unknown_level_is_a_value_error(resolve: Any, kind: str) -> None:
    said = f"Invalid adaptive {kind} level 'x'. Must be one of: NONE, LOW, MODERATE, HIGH"
    with pytest.raises(ValueError, match=said):
        resolve(level="x")


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"heatup_trigger": "sometimes"}, "heatup_trigger"),
        ({"anchor_selection_method": "best"}, "anchor_selection_method"),
        ({"anchor_size": "many"}, "anchor_size"),
        ({"anchr_size": 3}, "did you mean 'anchor_size'"),
        ({"pool_min_size": 300}, "pool_min_size"),
    ],
)
def test_a_wrong_override_is_an_error_that_names_the_field(overrides: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        resolve_adaptive_pool_config(level="HIGH", overrides=overrides)


@pytest.mark.parametrize("field", ["val_evaluation_mode", "candidate_selection_strategy"])
def test_a_wrong_mode_of_batches_is_not_replaced(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        resolve_adaptive_batch_config(overrides={field: "other"})


def test_overrides_go_before_the_preset() -> None:
    pool = resolve_adaptive_pool_config(level="HIGH", overrides={"anchor_size": 10, "heatup_reserve_pool": 7})
    assert (pool.anchor_size, pool.pool_init_size, pool.heatup_reserve_pool) == (10, 60, [7])
    batch = resolve_adaptive_batch_config(level="LOW", overrides={"val_subsample_size": 10})
    assert (batch.val_subsample_size, batch.reflection_minibatch_size) == (10, 5)


@pytest.mark.parametrize(
    ("level", "overrides", "examples", "sizes"),
    [
        ("LOW", {}, 1000, (150, 100, 50)),
        ("LOW", {}, 120, (120, 100, 50)),
        ("LOW", {}, 40, (40, 40, 40)),  # sizes of a preset never contradict each other
        ("LOW", {"pool_init_size": None}, 120, (120, 100, 50)),
        ("LOW", {"pool_min_size": None}, 120, (120, 50, 50)),  # None: the anchors
        ("HIGH", {"pool_init_size": 500}, 80, (80, 30, 20)),
        ("NONE", {}, 40, (40, 40, 0)),
    ],
)
def test_a_pool_fits_the_examples_there_are(
    level: str, overrides: dict[str, Any], examples: int, sizes: tuple[int, int, int]
) -> None:
    pool = resolve_adaptive_pool_config(level=level, overrides=overrides, dev_pool_size=examples)
    assert (pool.pool_init_size, pool.pool_min_size, pool.anchor_size) == sizes


def test_what_was_asked_for_is_not_shrunk_in_silence() -> None:
    with pytest.raises(
        ValueError, match=r"pool_min_size \(50\) must not be larger than pool_init_size \(40\)"
    ):
        resolve_adaptive_pool_config(overrides={"pool_min_size": 50}, dev_pool_size=40)


def test_a_preset_that_a_client_wrote_out_is_still_a_preset() -> None:
    """synth-ai 0.4.1 sends level LOW on 40 seeds as a pool of 40 that shrinks to 100."""
    sent = {"level": "LOW", "anchor_size": 50, "pool_init_size": 40, "pool_min_size": 100, "warmup_iters": 10}
    gepa = GEPAConfig.from_mapping({"evaluation": {"seeds": {"start": 0, "end": 40}}, "adaptive_pool": sent})
    assert gepa.adaptive_pool == resolve_adaptive_pool_config(level="LOW", dev_pool_size=40)


def test_a_document_gives_its_seeds_and_keeps_what_was_written() -> None:
    evaluation = {"train_seeds": {"start": 0, "end": 120}}
    gepa = GEPAConfig.from_mapping({"evaluation": evaluation, "adaptive_pool": {}, "adaptive_batch": {}})
    assert gepa.adaptive_pool == resolve_adaptive_pool_config(dev_pool_size=120)
    assert gepa.adaptive_batch == resolve_adaptive_batch_config()
    assert gepa.model_dump(mode="json", exclude_unset=True)["adaptive_batch"] == {"level": "MODERATE"}
    mipro = MIPROConfig.model_validate(
        {"seeds": {"online": {"start": 0, "end": 70}}, "adaptive_pool": {"level": "MODERATE"}}
    )
    assert mipro.adaptive_pool is not None
    assert mipro.adaptive_pool.pool_init_size == 70


def test_an_object_in_a_document_survives_the_round_trip() -> None:
    pool = AdaptivePoolConfig()  # the defaults of the class, which no preset has
    config = PromptLearningConfig(
        algorithm="gepa", task_app_url="http://127.0.0.1:8001", gepa=GEPAConfig(adaptive_pool=pool)
    )
    assert config.gepa.adaptive_pool is not None
    assert config.gepa.adaptive_pool.anchor_size == 30
    assert PromptLearningConfig.from_mapping(config.to_dict()) == config
