"""A job whose candidates hold demonstrations: the components, and how they reach the task."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from paretune.config import PromptLearningConfig
from paretune.container.messages import Message
from paretune.core.candidate import Candidate
from paretune.core.demonstrations import COMPONENT, NONE, component_of
from paretune.core.errors import Misconfigured
from paretune.core.placement import Placement, host_of
from paretune.engine.resolve.prompt import stages_of
from paretune.propose.base import Surface


@dataclass(frozen=True, slots=True)
class Shown:
    """Seed, surface and messages of a job, with its demonstrations if it has any."""

    seed: Candidate
    surface: Surface
    messages: tuple[Message, ...]


def stages_with_demonstrations(config: PromptLearningConfig) -> tuple[str, ...]:
    """The stages whose demonstrations are part of a candidate; an only stage has no name."""
    if "mipro" not in config.algorithm:
        return ("",) if config.gepa.demonstrations else ()
    stages = stages_of(config)
    if len(stages) < 2:
        return () if stages and stages[0].max_demo_slots == 0 else ("",)
    return tuple(stage.stage_id for stage in stages if stage.max_demo_slots != 0)


def shown(job: Shown, stages: Collection[str], fields: Collection[str]) -> Shown:
    """The job with a component for the demonstrations of each stage, none shown yet.

    `fields` are those of the container's own program. Raises Misconfigured where a component of that name is
    there already.
    """
    if not stages:
        return job
    texts = job.seed.components
    names = [component_of(stage) for stage in stages]
    if taken := [name for name in names if name in texts]:
        raise Misconfigured("gepa.demonstrations", f"the prompt has a component {taken[0]!r} of its own")
    messages, hosts = job.messages, dict[str, str]()
    if placement(job, fields) is Placement.TEXT:
        hosts = {name: host_of(name, texts) for name in names}
    else:
        orders = range(len(messages), len(messages) + len(names))
        turns = [Message(n, "", order, demonstrations=True) for n, order in zip(names, orders, strict=True)]
        messages = (*messages, *turns)
    formats = dict.fromkeys(names, COMPONENT)
    return Shown(
        seed=Candidate({**texts, **dict.fromkeys(names, NONE)}),
        surface=replace(job.surface, formats=formats, hosts=hosts),
        messages=messages,
    )


def placement(job: Shown, fields: Collection[str]) -> Placement:
    """Turns, where the document gives messages that are not fields of the container's own program: such a
    container may read its fields and nothing else."""
    its_own = set(job.seed.components) <= set(fields)
    return Placement.MESSAGES if job.messages and not its_own else Placement.TEXT
