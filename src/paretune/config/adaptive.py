"""Evaluation pools and batches that adapt while a job runs: levels and their presets."""

from __future__ import annotations

from collections.abc import Mapping, Set
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from paretune.config.base import Count, Natural, Section, read_section
from paretune.config.seeds import parse_seeds
from paretune.core.errors import Misconfigured


class AdaptiveCurriculumLevel(StrEnum):
    """How much an adaptive pool may save; NONE switches it off."""

    NONE = "NONE"
    LOW = "LOW"
    MODERATE = "MODERATE"
    HIGH = "HIGH"


class AdaptiveBatchLevel(StrEnum):
    """How small adaptive batches may be; NONE switches them off."""

    NONE = "NONE"
    LOW = "LOW"
    MODERATE = "MODERATE"
    HIGH = "HIGH"


class AdaptivePoolConfig(Section):
    """An evaluation pool that shrinks towards the informative examples; `anchor_size` of them always stay.

    The pool goes linearly from `pool_init_size` (None: all examples) to `pool_min_size` (None: the anchors)
    between the iterations `warmup_iters` and `anneal_stop_iter`. Defaults here are those of the class; the
    presets of a level are given by `resolve_adaptive_pool_config` and in documents.
    """

    level: AdaptiveCurriculumLevel = AdaptiveCurriculumLevel.LOW
    anchor_size: Natural = 30
    pool_init_size: Natural | None = None
    pool_min_size: Natural | None = None
    warmup_iters: Natural = 5
    anneal_stop_iter: Natural = 20
    pool_update_period: Count = 3
    min_evals_per_example: Count = 3
    k_info_prompts: Natural = 10
    info_buffer_factor: float = Field(0.9, ge=0, le=1)
    info_epsilon: float = Field(1e-6, gt=0)
    anchor_selection_method: Literal["random", "clustering"] = "clustering"
    exploration_strategy: Literal["random", "diversity"] = "diversity"
    heatup_reserve_pool: list[int] | None = None
    heatup_trigger: Literal["after_min_size", "immediate", "every_N_trials_after_min"] = "after_min_size"
    heatup_size: Count = 20
    heatup_cooldown_trials: Natural = 50
    heatup_schedule: Literal["repeat", "once"] = "repeat"

    @property
    def enabled(self) -> bool:
        """Whether the pool adapts at all."""
        return self.level is not AdaptiveCurriculumLevel.NONE

    @field_validator("heatup_reserve_pool", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        single = isinstance(value, int) and not isinstance(value, bool)
        return [value] if single else value if value is None else parse_seeds(value)

    @model_validator(mode="after")
    def _sizes_fall(self) -> AdaptivePoolConfig:
        if not self.enabled:
            return self
        sizes = ("pool_init_size", "pool_min_size", "anchor_size")
        given = [(name, size) for name in sizes if (size := getattr(self, name)) is not None]
        for (larger, most), (smaller, least) in pairwise(given):
            if least > most:
                raise ValueError(f"{smaller} ({least}) must not be larger than {larger} ({most})")
        if self.anneal_stop_iter <= self.warmup_iters:
            raise ValueError("anneal_stop_iter must be later than warmup_iters")
        return self


class GEPAAdaptiveBatchConfig(Section):
    """Smaller minibatches, and validation on a part of its examples. GEPA only."""

    level: AdaptiveBatchLevel = AdaptiveBatchLevel.MODERATE
    reflection_minibatch_size: Count = 3
    min_local_improvement: float = Field(0.0, ge=0)
    val_evaluation_mode: Literal["full", "subsample"] = "subsample"
    val_subsample_size: Count = 64
    candidate_selection_strategy: Literal["coverage", "random"] = "coverage"

    @property
    def enabled(self) -> bool:
        """Whether batches adapt at all."""
        return self.level is not AdaptiveBatchLevel.NONE


# -- presets --------------------------------------------------------------------------------------

_ALIKE = {
    "info_epsilon": 1e-6,
    "heatup_reserve_pool": None,
    "heatup_trigger": "after_min_size",
    "heatup_size": 20,
    "heatup_cooldown_trials": 50,
    "heatup_schedule": "repeat",
}


def _pool(*numbers: float | None, how: tuple[str, str] = ("clustering", "diversity")) -> Mapping[str, Any]:
    fields = list(AdaptivePoolConfig.model_fields)[1 : 1 + len(numbers)]
    methods = {"anchor_selection_method": how[0], "exploration_strategy": how[1]}
    return MappingProxyType({**dict(zip(fields, numbers, strict=True)), **methods, **_ALIKE})


def _batch(size: int, mode: str, subsample: int, strategy: str) -> Mapping[str, Any]:
    values = (size, 0.0, mode, subsample, strategy)
    return MappingProxyType(dict(zip(list(GEPAAdaptiveBatchConfig.model_fields)[1:], values, strict=True)))


_NEVER = 999_999

POOL_PRESETS: Mapping[AdaptiveCurriculumLevel, Mapping[str, Any]] = MappingProxyType(
    {
        # anchors, first and least size, warm-up, end, period, evaluations, prompts, buffer
        AdaptiveCurriculumLevel.NONE: _pool(
            0, None, None, _NEVER, _NEVER, _NEVER, 1, 0, 1.0, how=("random", "random")
        ),
        AdaptiveCurriculumLevel.LOW: _pool(50, 150, 100, 10, 30, 2, 5, 15, 0.95),
        AdaptiveCurriculumLevel.MODERATE: _pool(30, 100, 50, 5, 20, 3, 3, 10, 0.9),
        AdaptiveCurriculumLevel.HIGH: _pool(20, 60, 30, 3, 10, 5, 2, 5, 0.8),
    }
)

BATCH_PRESETS: Mapping[AdaptiveBatchLevel, Mapping[str, Any]] = MappingProxyType(
    {
        AdaptiveBatchLevel.NONE: _batch(8, "full", 64, "random"),
        AdaptiveBatchLevel.LOW: _batch(5, "subsample", 80, "coverage"),
        AdaptiveBatchLevel.MODERATE: _batch(3, "subsample", 64, "coverage"),
        AdaptiveBatchLevel.HIGH: _batch(2, "subsample", 48, "coverage"),
    }
)

L = TypeVar("L", AdaptiveCurriculumLevel, AdaptiveBatchLevel)


def _level(given: Any, default: L, what: str) -> L:
    if given is None:
        return default
    kind = type(default)
    name = str(given).strip().upper()
    if name not in kind.__members__:
        raise ValueError(f"Invalid adaptive {what} level {given!r}. Must be one of: {', '.join(kind)}")
    return kind(name)


# -- resolving ------------------------------------------------------------------------------------


def resolve_adaptive_pool_config(
    *,
    level: AdaptiveCurriculumLevel | str | None = None,
    overrides: Mapping[str, Any] | None = None,
    dev_pool_size: int | None = None,
) -> AdaptivePoolConfig:
    """The preset of a level (LOW if None) under `overrides`, fitted to `dev_pool_size` examples.

    A pool is at most as large as there are examples, and what the preset alone says about its least size and
    its anchors follows. Raises Misconfigured, a ValueError, naming the field.
    """
    try:
        values = pool_values({**(overrides or {}), "level": level}, dev_pool_size)
    except ValueError as error:
        raise Misconfigured("adaptive_pool.level", str(error)) from None
    return read_section(AdaptivePoolConfig, values, "adaptive_pool")


def resolve_adaptive_batch_config(
    *, level: AdaptiveBatchLevel | str | None = None, overrides: Mapping[str, Any] | None = None
) -> GEPAAdaptiveBatchConfig:
    """The preset of a level (MODERATE if None) under `overrides`. Raises Misconfigured, naming the field."""
    try:
        values = batch_values({**(overrides or {}), "level": level})
    except ValueError as error:
        raise Misconfigured("adaptive_batch.level", str(error)) from None
    return read_section(GEPAAdaptiveBatchConfig, values, "adaptive_batch")


def pool_values(given: Mapping[str, Any], dev_pool_size: int | None = None) -> dict[str, Any]:
    """What a document's section stands for, not yet validated. Raises ValueError on an unknown level."""
    level = _level(given.get("level"), AdaptiveCurriculumLevel.LOW, "pool")
    kept = {key: value for key, value in given.items() if value is not None or key in _MAY_BE_EMPTY}
    values = {**POOL_PRESETS[level], **kept, "level": level}
    if values["pool_init_size"] is None:
        values["pool_init_size"] = dev_pool_size
    if level is AdaptiveCurriculumLevel.NONE:
        values["pool_min_size"] = (
            dev_pool_size if values["pool_min_size"] is None else values["pool_min_size"]
        )
        return values
    asked = {name for name in _SIZES if name in kept and kept[name] != POOL_PRESETS[level][name]}
    _shrink(values, dev_pool_size, fixed=asked - {"pool_init_size"})
    if values["pool_min_size"] is None:
        values["pool_min_size"] = values["anchor_size"]
    return values


_SIZES = ("pool_init_size", "pool_min_size", "anchor_size")
_MAY_BE_EMPTY = frozenset(_SIZES[:2])


def _shrink(values: dict[str, Any], most: int | None, *, fixed: Set[str]) -> None:
    """No size above the one before it, `most` examples first; those that were asked for stay."""
    for name in _SIZES:
        if not isinstance(values[name], int):
            continue
        if most is not None and name not in fixed:
            values[name] = min(values[name], most)
        most = values[name]


def batch_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a document's section stands for, not yet validated. Raises ValueError on an unknown level."""
    level = _level(given.get("level"), AdaptiveBatchLevel.MODERATE, "batch")
    kept = {key: value for key, value in given.items() if value is not None}
    return {**BATCH_PRESETS[level], **kept, "level": level}


# -- in a document --------------------------------------------------------------------------------


def read_pool(value: Any, examples: int | None) -> Any:
    """A document's `adaptive_pool`, or an object given in its place, fitted to so many examples."""
    if isinstance(value, AdaptivePoolConfig):
        value = value.model_dump()
    return pool_values(value, examples) if isinstance(value, Mapping) else value


def read_batch(value: Any) -> Any:
    """A document's `adaptive_batch`."""
    return batch_values(value) if isinstance(value, Mapping) else value


def written(config: AdaptivePoolConfig | GEPAAdaptiveBatchConfig | None) -> dict[str, Any] | None:
    """As a document says it: the level, and what differs from its preset."""
    if config is None:
        return None
    preset = (
        POOL_PRESETS[config.level] if isinstance(config, AdaptivePoolConfig) else BATCH_PRESETS[config.level]
    )
    values = config.model_dump(mode="json")
    return {"level": values["level"]} | {
        name: values[name] for name in preset if values[name] != preset[name]
    }


def examples_in(info: ValidationInfo, *fields: str) -> int | None:
    """How many seeds the first of these fields of a section holds that has some."""
    return next((len(seeds) for name in fields if (seeds := info.data.get(name))), None)
