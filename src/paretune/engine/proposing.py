"""Who writes a job's proposals, by its algorithm and `proposer_type`, and the most that one can cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from paretune.config import GEPAConfig, MIPROConfig, PromptLearningConfig
from paretune.core.rollout import Usage
from paretune.engine.section import section_of
from paretune.engine.specs import specification
from paretune.llm.chat import ChatModel
from paretune.llm.efforts import EFFORTS, OUTPUT_TOKENS, ProposerFile, ProposerModel, resolve
from paretune.llm.prices import Price, cost
from paretune.propose.base import Proposer
from paretune.propose.instructions import GroundedProposer
from paretune.propose.operators import OperatorProposer
from paretune.propose.packet_text import PromptLimits
from paretune.propose.reflect import ReflectiveProposer

CHARACTERS_A_TOKEN = 4


@asynccontextmanager
async def proposing(config: PromptLearningConfig, environment: Mapping[str, str]) -> AsyncIterator[Proposer]:
    """The proposer that the document names.

    Raises Misconfigured without an endpoint or key, or where its specification cannot be read.
    """
    section = section_of(config)
    if section.proposer_type == "operators":
        yield OperatorProposer()
        return
    endpoint, spec = endpoint_of(config, environment), _spec(config, environment)
    kind = GroundedProposer if "mipro" in config.algorithm else ReflectiveProposer
    limits = PromptLimits(whole=CHARACTERS_A_TOKEN * endpoint.prompt_tokens)
    async with ChatModel(
        endpoint.base_url,
        endpoint.model,
        endpoint.api_key,
        timeout=config.proposer.timeout_seconds,
        temperature=config.proposer.temperature,
        max_tokens=endpoint.output_tokens,
        price=proposer_price(config),
    ) as model:
        yield kind(model, metaprompt(section), spec=spec, limits=limits)


def metaprompt(section: GEPAConfig | MIPROConfig) -> str | None:
    """What the model is told to do, under either of its names; None where the built-in words hold."""
    older = section.mutation.prompt if isinstance(section, GEPAConfig) else None
    return section.metaprompt or older


def proposer_model(config: PromptLearningConfig, environment: Mapping[str, str]) -> str:
    """The model that proposals will really be asked of; empty where none is."""
    if section_of(config).proposer_type == "operators":
        return ""
    return endpoint_of(config, environment).model


def endpoint_of(config: PromptLearningConfig, environment: Mapping[str, str]) -> ProposerModel:
    """Address, model and key of who writes proposals. Raises Misconfigured without them."""
    given = ProposerFile(config.proposer.base_url, config.proposer.model, config.proposer.api_key_env)
    section = section_of(config)
    return resolve(
        section.proposer_effort, section.proposer_output_tokens, file=given, environment=environment
    )


def _spec(config: PromptLearningConfig, environment: Mapping[str, str]) -> str:
    section = section_of(config)
    name = "mipro" if isinstance(section, MIPROConfig) else "gepa"
    return specification(
        section.spec_path,
        f"prompt_learning.{name}.spec_path",
        environment,
        max_tokens=section.spec_max_tokens,
        threshold=section.spec_priority_threshold,
        examples=section.spec_include_examples,
    )


# -- what one can cost ----------------------------------------------------------------------------


def proposer_price(config: PromptLearningConfig) -> Price | None:
    """The proposer's price as the document gives it; None leaves it to the price table."""
    proposer = config.proposer
    if proposer.prompt_usd_per_million is None or proposer.completion_usd_per_million is None:
        return None
    return Price(proposer.prompt_usd_per_million, proposer.completion_usd_per_million)


def proposal_price(config: PromptLearningConfig, model: str) -> float | None:
    """The most that a call for a proposal can cost: a full context and the longest answer."""
    section = section_of(config)
    if section.proposer_type == "operators":
        return 0.0
    effort = EFFORTS[section.proposer_effort]
    most = Usage(effort.context, OUTPUT_TOKENS[section.proposer_output_tokens])
    given = proposer_price(config)
    return given.of(most) if given else cost(model or config.proposer.model or effort.model, most)


def answer_tokens(config: PromptLearningConfig) -> int | None:
    """Of the longest answer, as far as the document says it."""
    section = section_of(config)
    if section.proposer_type == "operators":
        return 0
    given = "proposer_output_tokens" in section.model_fields_set
    return OUTPUT_TOKENS[section.proposer_output_tokens] if given else None
