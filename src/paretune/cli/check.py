"""`paretune config check`: a document's values and their sources, its mistakes, what cannot be done yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from paretune.algorithms.mipro import MiproSettings
from paretune.cli.console import as_json, complain, note, one_line, say
from paretune.config import MIPROConfig, PromptLearningConfig, not_available
from paretune.config.document import read_toml
from paretune.config.environment import refuse_references
from paretune.config.explain import DEFAULT, Setting, examine, shown
from paretune.config.mipro import POOLS
from paretune.container.messages import refuse_credentials
from paretune.core.budget import Limits
from paretune.core.candidate import Candidate
from paretune.core.errors import Misconfigured
from paretune.core.rollout import Identity
from paretune.engine.demonstrations import Shown, stages_with_demonstrations
from paretune.engine.demonstrations import shown as with_demonstrations
from paretune.engine.handed_on import env_config, public_policy
from paretune.engine.job import Job
from paretune.engine.prepare import search_of
from paretune.engine.proposing import endpoint_of
from paretune.engine.resolve.gepa import ENDLESS
from paretune.engine.resolve.limits import limits_of, prices_of
from paretune.engine.resolve.mipro import mipro_of
from paretune.engine.resolve.prompt import messages_of, prompt_of, seed_of, stages_of, surface_of
from paretune.engine.resolve.splits import known_splits, validation_pool
from paretune.engine.section import section_of
from paretune.engine.specs import refuse_other_specs
from paretune.llm.efforts import EFFORTS

_WIDTH = 60
_OF_AUTO = ("mipro.num_iterations", "mipro.max_instruction_sets", "mipro.max_demo_sets")
_REFLECTIVE = ("dspy", "synth", "gepa-ai", "spec")


def print_check(file: Path, *, json: bool, given: bool) -> None:
    """Exit code 2 if `run` would refuse the document; mistakes go to standard error."""
    examined = examine(read_toml(file))
    problems, settings = list(examined.problems), list(examined.settings)
    missing: list[str] = []
    notes: list[str] = []
    if examined.config is not None:
        config = examined.config
        missing = not_available(config)
        if not missing:
            problems += _refused_later(config)
            settings = _with_what_follows(config, settings)
        settings, notes = _with_environment(config, settings, os.environ)
    settings = _together(settings)
    if given:
        settings = [setting for setting in settings if setting.source != DEFAULT]
    if json:
        as_json(
            {
                "ok": not problems and not missing,
                "problems": [{"field": error.field, "problem": error.problem} for error in problems],
                "not_available": missing,
                "notes": notes,
                "settings": {s.field: {"value": s.value, "source": s.source} for s in settings},
            }
        )
    else:
        _print(settings, notes)
        for error in problems:
            complain(str(error))
        for field in missing:
            complain(f"not available yet: {field}")
        if not problems and not missing:
            say("nothing is wrong with it", "bold")
    if problems or missing:
        raise typer.Exit(2)


def _print(settings: list[Setting], notes: list[str]) -> None:
    rows = [(setting.field, one_line(_text(setting.value), _WIDTH), setting.source) for setting in settings]
    fields = max((len(field) for field, _, _ in rows), default=0)
    values = max((len(value) for _, value, _ in rows), default=0)
    for field, value, source in rows:
        say(f"{field:<{fields}}  {value:<{values}}  {source}")
    for line in notes:
        note(line)


def _together(settings: list[Setting]) -> list[Setting]:
    """The keys of a section side by side, sections in the order in which they begin."""
    begins: dict[str, int] = {}
    for place, setting in enumerate(settings):
        begins.setdefault(setting.field.rpartition(".")[0], place)
    return sorted(settings, key=lambda setting: begins[setting.field.rpartition(".")[0]])


def _text(value: Any) -> str:
    if isinstance(value, list) and len(value) > 8 and all(isinstance(item, int) for item in value):
        return f"{len(value)} of them: {value[0]}, {value[1]}, ... {value[-1]}"
    return str(value)


# -- what a run would refuse ----------------------------------------------------------------------


def _refused_later(config: PromptLearningConfig) -> list[Misconfigured]:
    """What only shows when the parts are put together, as far as no container is needed."""
    checks: list[Callable[[], object]] = [
        lambda: refuse_credentials("policy", public_policy(config)),
        lambda: refuse_credentials("env_config", env_config(config)),
        lambda: refuse_references("env_config", env_config(config)),
        lambda: refuse_references("policy.config", config.policy.config if config.policy else {}),
        lambda: refuse_other_specs(config, os.environ),
        lambda: _job(config),
    ]
    found = []
    for attempt in checks:
        try:
            attempt()
        except Misconfigured as error:
            found.append(error)
    return found


def _job(config: PromptLearningConfig) -> Job | None:
    """The job as far as the document alone decides it: None where the container knows which examples."""
    if config.task_pools is not None or validation_pool(config):
        return None
    splits, program = known_splits(config), _program(config)
    mipro = mipro_of(config, program.seed, splits, program.surface)
    model = config.proposer.model or os.environ.get("PARETUNE_PROPOSER_MODEL", "")
    return Job(
        name="",
        seed=program.seed,
        splits=splits,
        identity=Identity("", "", ""),
        settings=search_of(config, splits, mipro),
        mipro=mipro,
        algorithm=config.algorithm,
        limits=limits_of(config),
        prices=prices_of(config, model),
    )


# -- what follows ---------------------------------------------------------------------------------


def _with_what_follows(config: PromptLearningConfig, settings: list[Setting]) -> list[Setting]:
    """The values that the search will really have, where they are not the written or documented ones."""
    try:
        job = _job(config)
    except Misconfigured:
        return settings
    if job is None:
        return settings
    effective = dict(_effective(config, job))
    told = []
    for setting in settings:
        value = effective.pop(setting.field, setting.value)
        same = value == setting.value
        told.append(setting if same else Setting(setting.field, value, _source(config, setting.field)))
    return told + [Setting(field, value, _source(config, field)) for field, value in effective.items()]


def _source(config: PromptLearningConfig, field: str) -> str:
    """Where a value comes from that the document does not say."""
    auto = config.mipro.auto if config.mipro else None
    if auto and field in _OF_AUTO:
        return f"preset {auto}"
    classic = field.startswith("gepa.") and config.gepa.preset == "classic"
    return "preset classic" if classic else "follows from the other keys"


def _program(config: PromptLearningConfig) -> Shown:
    """The initial texts; a stand-in where only the container has them."""
    if prompt_of(config) is not None or stages_of(config):
        seed = seed_of(config, {})
    else:
        parameters = config.mipro.parameters if config.mipro else ()
        seed = Candidate(dict.fromkeys(("prompt", *parameters), ""))
    plain = Shown(seed, surface_of(config, seed), messages_of(config))
    return with_demonstrations(plain, stages_with_demonstrations(config), ())


def _effective(config: PromptLearningConfig, job: Job) -> Iterator[tuple[str, Any]]:
    if config.algorithm != "mipro":
        yield from _of_gepa(job)
    if job.mipro is not None:
        yield from _of_mipro(config, job, job.mipro)


def _of_mipro(config: PromptLearningConfig, job: Job, search: MiproSettings) -> Iterator[tuple[str, Any]]:
    """Trials and options as they will be; seeds of a pool that stands under its other name, too."""
    yield "mipro.num_iterations", search.iterations
    yield "mipro.num_evaluations_per_iteration", search.evaluations
    yield "mipro.batch_size", search.batch
    yield "mipro.full_eval_every_k", search.full_every
    yield "mipro.instructions_per_batch", search.per_round
    yield "mipro.generate_at_iterations", [(at - 1) // search.evaluations for at in search.rounds]
    yield "mipro.max_instruction_sets", max(stage.instructions for stage in search.stages)
    yield "mipro.max_demo_sets", max(stage.demo_sets - 1 for stage in search.stages)
    yield "mipro.max_demo_set_size", max(search.bootstrap.bootstrapped, search.bootstrap.labelled)
    yield "mipro.tpe.n_startup_trials", search.startup
    yield "mipro.tpe.n_ei_candidates", search.candidates
    if config.algorithm == "mipro":
        pools = (config.mipro or MIPROConfig()).pools()
        for name, place in POOLS.items():
            if seeds := getattr(pools, name):
                yield f"mipro.{place}", seeds
        if job.limits.rollouts is not None:
            yield "termination_config.max_rollouts", job.limits.rollouts


def _of_gepa(job: Job) -> Iterator[tuple[str, Any]]:
    search, splits = job.settings, job.splits
    endless = search.generations == ENDLESS
    yield "gepa.rollout.minibatch_size", search.minibatch_size
    yield "gepa.population.initial_size", search.initial_size
    yield "gepa.population.num_generations", "no end: a cap ends the run" if endless else search.generations
    yield "gepa.population.children_per_generation", search.children_per_generation
    yield "gepa.population.crossover_rate", search.crossover_rate
    yield "gepa.population.selection_pressure", search.pressure
    yield "gepa.population.patience_generations", search.patience
    yield "gepa.mutation.rate", search.mutation_rate
    yield "gepa.archive.size", search.archive_size
    yield "gepa.archive.pareto_eps", search.epsilon
    yield "gepa.archive.pareto_set_size", len(splits.pareto)
    yield "gepa.evaluation.validation_top_k", search.finalists
    yield "gepa.pipeline.mode", "async" if search.pipeline.lanes else "sync"
    yield "gepa.pipeline.lanes", search.pipeline.lanes
    yield "gepa.rungs.first", search.rungs.first
    limits = job.limits
    if limits != Limits():
        yield "gepa.rollout.budget", limits.rollouts


# -- the environment ------------------------------------------------------------------------------


def _with_environment(
    config: PromptLearningConfig, settings: list[Setting], environment: Mapping[str, str]
) -> tuple[list[Setting], list[str]]:
    """Values that come from the environment, by name only, and what is missing there."""
    found = {setting.field: setting for setting in settings}
    notes = []
    if environment.get("TASK_APP_URL"):
        found["task_app_url"] = _from("task_app_url", "TASK_APP_URL")
    key = config.task_app_api_key
    name = "ENVIRONMENT_API_KEY" if key is None else key[1:].strip("{}") if key.startswith("$") else ""
    if name and environment.get(name):
        found["task_app_api_key"] = _from("task_app_api_key", name)
    elif name and key is not None:
        notes.append(f"task_app_api_key: the environment variable {name} is not set here")
    if section_of(config).proposer_type in _REFLECTIVE:
        found |= _proposer(config, environment)
        try:
            endpoint_of(config, environment)
        except Misconfigured as error:
            notes.append(str(error))
    return list(found.values()), notes


def _from(field: str, name: str) -> Setting:
    return Setting(field, "(from the environment)", f"environment {name}")


def _proposer(config: PromptLearningConfig, environment: Mapping[str, str]) -> dict[str, Setting]:
    """Address and model of the proposer where the file does not give them."""
    effort = section_of(config).proposer_effort
    row, preset = EFFORTS[effort], f"preset {effort}"
    found = {}
    for field, written, names, usual in (
        (
            "proposer.base_url",
            config.proposer.base_url,
            ("PARETUNE_PROPOSER_BASE_URL", "OPENAI_BASE_URL"),
            row.endpoint.base_url,
        ),
        ("proposer.model", config.proposer.model, ("PARETUNE_PROPOSER_MODEL",), row.model),
    ):
        if written is None:
            name = next((name for name in names if environment.get(name)), None)
            found[field] = _from(field, name) if name else Setting(field, shown(field, usual), preset)
    return found
