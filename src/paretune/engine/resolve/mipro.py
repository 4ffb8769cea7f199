"""The MIPRO search that a document's keys stand for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from paretune.algorithms.mipro import MiproSettings, Stage
from paretune.algorithms.mipro.settings import Bootstrap
from paretune.algorithms.settings import GepaSettings
from paretune.config import MIPROConfig, PromptLearningConfig
from paretune.config.mipro import MIPROStageConfig
from paretune.config.mipro_parts import (
    MIPRODemoConfig,
    MIPROGroundingConfig,
    MIPROMetaUpdateConfig,
    MIPROTPEConfig,
)
from paretune.container.client import ContainerClient
from paretune.core.candidate import Candidate
from paretune.core.canonical import canonical_json
from paretune.core.demonstrations import component_of
from paretune.core.errors import Misconfigured
from paretune.core.example import Splits
from paretune.engine.adaptive import pool_settings
from paretune.engine.resolve.limits import concurrency_of
from paretune.engine.resolve.prompt import messages_of, stages_of
from paretune.propose.base import Surface

USUAL = 6
"""Instructions, and demonstration sets, of a stage where nothing says how many."""
MOST_AT_ONCE = 8
"""Trials that overlap: with more of them TPE decides on too little."""


@dataclass(frozen=True, slots=True)
class Preset:
    """`auto`, as DSPy has it: so many options of each kind, and at most so many examples for each trial's
    full evaluation. Trials follow from the options."""

    options: int
    examples: int


PRESETS = {"light": Preset(6, 100), "medium": Preset(12, 300), "heavy": Preset(18, 1000)}


DSPY_BATCH = 35
"""Examples of a trial there. Ours ask fewer where the preset decides, and there are as many more of them:
all combinations are asked the same examples, and a good one is asked more of them."""
LEAST_BATCH = 8


def trials_of(options: int, dimensions: int) -> int:
    """How many trials a preset takes: DSPy's formula, for so many options in each of so many dimensions."""
    return int(max(2 * dimensions * math.log2(options), 1.5 * options))


def mipro_of(
    config: PromptLearningConfig,
    seed: Candidate,
    splits: Splits,
    surface: Surface,
    rows: tuple[str, ...] = (),
) -> MiproSettings | None:
    """None where the job has no MIPRO part. `rows` are reference examples as texts. Raises Misconfigured."""
    if "mipro" not in config.algorithm:
        return None
    mipro = config.mipro or MIPROConfig()
    grounding, tpe = mipro.grounding or MIPROGroundingConfig(), mipro.tpe or MIPROTPEConfig()
    every = mipro.num_evaluations_per_iteration
    batch = min(_batch(mipro, len(splits.pareto)), len(splits.pareto))
    for name in mipro.parameters:
        if name not in seed.components:
            raise Misconfigured(f"mipro.parameters.{name}", "the program has no component of this name")
    stages, iterations = _stages(config, seed, surface), mipro.num_iterations
    if mipro.auto and "num_iterations" not in mipro.model_fields_set:
        dimensions = sum(2 if stage.demonstrations else 1 for stage in stages)
        rollouts = DSPY_BATCH * trials_of(PRESETS[mipro.auto].options, dimensions)
        iterations = math.ceil(rollouts / batch / every)
    return MiproSettings(
        stages=stages,
        bootstrap=_bootstrap(mipro),
        iterations=iterations,
        evaluations=every,
        batch=batch,
        full_every=mipro.full_eval_every_k or max(every, math.ceil(len(splits.pareto) / batch)),
        at_once=max(1, min(MOST_AT_ONCE, math.ceil(2 * concurrency_of(config) / batch))),
        rounds=tuple(1 + iteration * every for iteration in _rounds(mipro, iterations)),
        per_round=mipro.instructions_per_batch or 2,
        startup=tpe.n_startup_trials,
        candidates=tpe.n_ei_candidates,
        rows=rows if grounding.data else None,
        program=_program(config, seed) if grounding.program else "",
        history=grounding.history,
        tips=grounding.tips,
        parameters=tuple((name, tuple(texts)) for name, texts in mipro.parameters.items()),
    )


def trial_settings(config: PromptLearningConfig, settings: MiproSettings, splits: Splits) -> GepaSettings:
    """Of a MIPRO search alone, what it has in common with GEPA's. Raises Misconfigured."""
    mipro = config.mipro or MIPROConfig()
    pool = mipro.adaptive_pool
    adaptive = pool_settings(pool, splits.pareto, "mipro.adaptive_pool") if pool and pool.enabled else None
    end = config.termination_config
    common = GepaSettings(
        seed=mipro.rng_seed or 0,
        target=end.target_reward,
        barren_steps=end.max_trials_without_improvement or 0,
        pool=adaptive,
    )
    return settings.shared(common)


def _batch(mipro: MIPROConfig, examples: int) -> int:
    """Examples of a trial: as given, or with a preset the root of all that there are."""
    if not mipro.auto or "batch_size" in mipro.model_fields_set:
        return mipro.batch_size
    return max(LEAST_BATCH, round(math.sqrt(examples)))


def _stages(config: PromptLearningConfig, seed: Candidate, surface: Surface) -> tuple[Stage, ...]:
    """What is searched: the stages by their names, or the whole prompt as one."""
    mipro, named = config.mipro or MIPROConfig(), stages_of(config)
    texts = tuple(name for name in seed.components if name not in {*surface.formats, *mipro.parameters})
    usual = PRESETS[mipro.auto].options if mipro.auto else USUAL
    if len(named) < 2:
        slots = named[0] if named else None
        return (_stage(mipro, "", texts, slots, surface, usual),)
    return tuple(_stage(mipro, s.stage_id, (s.stage_id,), s, surface, usual) for s in named)


def _stage(
    mipro: MIPROConfig,
    name: str,
    components: tuple[str, ...],
    slots: MIPROStageConfig | None,
    surface: Surface,
    usual: int,
) -> Stage:
    instructions = (slots and slots.max_instruction_slots) or mipro.max_instructions or usual
    sets = usual if slots is None or slots.max_demo_slots is None else slots.max_demo_slots
    shown = component_of(name)
    return Stage(
        name=name,
        components=components,
        demonstrations=shown if shown in surface.formats else "",
        instructions=min(instructions, mipro.max_instruction_sets),
        demo_sets=1 + min(sets, mipro.max_demo_sets),
        most_instructions=mipro.max_instructions or mipro.max_instruction_sets,
        module=f"the stage {name!r}" if name else "",
    )


def _bootstrap(mipro: MIPROConfig) -> Bootstrap:
    demo = mipro.demo or MIPRODemoConfig()
    most = mipro.max_demo_set_size
    return Bootstrap(
        threshold=mipro.few_shot_score_threshold,
        bootstrapped=min(demo.max_bootstrapped_demos, most or demo.max_bootstrapped_demos),
        labelled=most or demo.max_labeled_demos,
        least=mipro.min_bootstrap_demos or 0,
        strict=mipro.strict_bootstrap,
    )


def _rounds(mipro: MIPROConfig, iterations: int) -> list[int]:
    """Iterations before which further instructions are written; 0 is the first."""
    if not (mipro.meta_update or MIPROMetaUpdateConfig()).enabled:
        return []
    given = mipro.generate_at_iterations
    middle = iterations // 2
    return sorted({at for at in given if at}) if given is not None else [middle] if middle else []


def _program(config: PromptLearningConfig, seed: Candidate) -> str:
    """The program in words: its messages, or its components, as they begin."""
    roles = {message.component: message.role for message in messages_of(config)}
    return "\n\n".join(f"[{roles.get(name, name)}]\n{text}" for name, text in seed.components.items())


async def reference_rows(config: PromptLearningConfig, client: ContainerClient) -> tuple[str, ...]:
    """The examples of MIPRO's reference pool as the container describes them; none where it does not.

    Raises AttemptFailed.
    """
    pool = (config.mipro or MIPROConfig()).pools().reference if "mipro" in config.algorithm else []
    if not pool:
        return ()
    told = await client.task_info(pool)
    listed = told if isinstance(told, list) else [told]
    rows = [row.get("task_metadata") for row in listed if isinstance(row, Mapping)]
    return tuple(canonical_json(row) for row in rows if row)
