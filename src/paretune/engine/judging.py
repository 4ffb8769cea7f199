"""From a document's `judge` section to who judges its rollouts, and what that makes of its job."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from paretune.config import PromptLearningConfig
from paretune.config.providers import PROVIDERS, ProviderName
from paretune.config.rubrics import RubricConfig, VerifierDocument
from paretune.config.verifier import UNSAID_KEY, BackendOptions, PromptLearningJudgeConfig
from paretune.container.client import ContainerClient
from paretune.core.canonical import JsonValue
from paretune.core.errors import AttemptFailed, Misconfigured, RunFailed
from paretune.core.retry import RetryPolicy
from paretune.core.rollout import Usage
from paretune.engine.prepare import Prepared
from paretune.evaluate.verifier.executor import Judged, Pays
from paretune.evaluate.verifier.fusion import Fusion
from paretune.evaluate.verifier.judge import Judge
from paretune.evaluate.verifier.rubric import STANDARD, Criterion, Graph, Node, Rubric, alone, only
from paretune.evaluate.verifier.subject import cut
from paretune.evaluate.verifier.verdicts import Verifier
from paretune.llm.chat import ChatModel
from paretune.llm.prices import Price, cost
from paretune.store.verifiers import SqlVerifiers, UnknownVerifier

BASE_URL, MODEL, KEY = (f"PARETUNE_VERIFIER_{name}" for name in ("BASE_URL", "MODEL", "API_KEY"))
ASSUMED_PROMPT_TOKENS = 4_000
"""Prompt tokens of a verdict when its price or its tokens are estimated."""
CHARACTERS_A_TOKEN = 4
RETRY_SECONDS = 60.0
SECTIONS = ("verifier", "judge")


@dataclass(frozen=True, slots=True)
class Judging:
    """Who judges, and what the reward is made of."""

    verifier: Verifier
    fusion: Fusion
    timeout: float

    def judged(self, ready: Prepared) -> Prepared:
        """The same job, its rollouts judged: another evaluator, prices and a longer deadline."""
        job, who = ready.job, self.verifier
        evaluator = f"{job.identity.evaluator} {who.identity} {self.fusion.source} {self.fusion.identity}"
        prices = replace(job.prices, judges=len(who.judges), verdict=who.usd)
        lo, proxy = job.lo, job.settings.proxy  # judged as well, so that both rewards mean the same
        if lo is not None and proxy is not None:
            lo = replace(lo, evaluator=evaluator)
            proxy = replace(proxy, verdict_usd=len(who.judges) * (who.usd or 0.0))
        rounds = math.ceil(job.queue.concurrency * len(who.judges) / who.concurrency)
        deadline = job.queue.deadline + rounds * who.retry.attempts * self.timeout + RETRY_SECONDS
        job = replace(
            job,
            identity=replace(job.identity, evaluator=evaluator),
            lo=lo,
            settings=replace(job.settings, proxy=proxy),
            prices=prices,
            queue=replace(job.queue, deadline=deadline),
        )
        inner = ready.executor
        if isinstance(inner, Pays):
            raise TypeError("these rollouts are judged already")
        return Prepared(job, Judged(inner, who, self.fusion))


@asynccontextmanager
async def judging(
    config: PromptLearningConfig,
    environment: Mapping[str, str],
    client: ContainerClient,
    *,
    asks: bool = True,
) -> AsyncIterator[Judging | None]:
    """Who judges the document's rollouts; None where nobody does.

    Without `asks` no key is needed. Raises Misconfigured, naming field and fix.
    """
    section = judge_of(config)
    if section is None:
        yield None
        return
    graph = only(
        await _graph(section, client),
        events=section.backend_event_enabled,
        outcome=section.backend_outcome_enabled,
    )
    fusion = Fusion(section.reward_source, section.weight_env, section.weight_event, section.weight_outcome)
    fusion.refuse_for(graph)
    options = BackendOptions.model_validate(section.backend_options)
    async with AsyncExitStack() as models:
        made: dict[str, ChatModel] = {}
        for node in graph.judges:
            name = _model(node, section, environment)
            if name not in made:
                model = _chat(name, section, options, environment, asks=asks)
                made[name] = await models.enter_async_context(model)
        yield Judging(_verifier(graph, section, options, made, environment), fusion, section.timeout)


def judge_of(config: PromptLearningConfig) -> PromptLearningJudgeConfig | None:
    """The section that holds, if it is switched on: the algorithm's own, else the job's.

    Raises Misconfigured where two of them are on and differ.
    """
    found: list[tuple[str, PromptLearningJudgeConfig]] = []
    for algorithm in config.algorithm.split("+"):
        inner = getattr(config, algorithm, None)
        found += [(f"{algorithm}.{n}", s) for n in SECTIONS if (s := getattr(inner, n, None)) and s.enabled]
    found += [(name, s) for name in SECTIONS if (s := getattr(config, name)) and s.enabled]
    for name, section in found[1:]:
        if section.model_dump() != found[0][1].model_dump():
            raise Misconfigured(
                f"prompt_learning.{name}", f"differs from prompt_learning.{found[0][0]}; give one of the two"
            )
    return found[0][1] if found else None


def with_verifier(
    config: PromptLearningConfig, find: Callable[[str], tuple[str, Mapping[str, Any]]]
) -> PromptLearningConfig:
    """The document with the definition of the registered verifier that it names, and with its version.

    `find` gives, for an id or name, `name@version` and what was registered.
    """
    section = judge_of(config)
    if section is None or not section.synth_verifier_id or section.rubric or section.graph:
        return config
    name, document = find(section.synth_verifier_id)
    given = config.to_dict()
    inner = given["prompt_learning"]
    for table in (inner, *(inner.get(one) or {} for one in ("gepa", "mipro"))):
        for key in SECTIONS:
            if (table.get(key) or {}).get("synth_verifier_id"):
                table[key] |= {"synth_verifier_id": name, "backend_rubric_id": name, **document}
    return PromptLearningConfig.from_mapping(given)


def registered_in(verifiers: SqlVerifiers) -> Callable[[str], tuple[str, Mapping[str, Any]]]:
    """For `with_verifier`: finds what is registered there. Raises Misconfigured for what is not."""

    def find(reference: str) -> tuple[str, Mapping[str, Any]]:
        try:
            found = verifiers.find(reference)
        except UnknownVerifier as error:
            raise Misconfigured("judge.synth_verifier_id", f"{error} is registered here") from error
        return found.reference, found.document

    return find


# -- what is judged by -----------------------------------------------------------------------------------


async def _graph(section: PromptLearningJudgeConfig, client: ContainerClient) -> Graph:
    """Given in the document, else by the container's own rubrics, else the standard one."""
    if section.rubric is not None or section.graph is not None:
        return graph_of(VerifierDocument(rubric=section.rubric, graph=section.graph))
    if section.synth_verifier_id:
        raise Misconfigured(
            "judge.synth_verifier_id", f"{section.synth_verifier_id!r} was not looked up in any store"
        )
    try:
        info = await client.info()
    except AttemptFailed as error:
        raise RunFailed("the task container does not answer as it should", str(error)) from error
    return alone(_container_rubric(info.raw.get("rubrics")) or STANDARD)


def graph_of(document: VerifierDocument) -> Graph:
    """Raises Misconfigured for a graph that is none."""
    if document.rubric is not None:
        return alone(_rubric(document.rubric))
    assert document.graph is not None
    nodes = tuple(
        Node(
            node.name,
            _rubric(node.rubric) if node.rubric else None,
            node.model,
            node.method,
            node.weights,
            node.on_failure,
            node.default,
        )
        for node in document.graph.nodes
    )
    return Graph(nodes, document.graph.pairs(), document.graph.output)


def _rubric(given: RubricConfig) -> Rubric:
    events, outcome = (
        tuple(Criterion(one.id, one.description, one.weight) for one in part)
        for part in (given.events, given.outcome)
    )
    return Rubric(given.goal, events, outcome)


def _container_rubric(given: JsonValue) -> Rubric | None:
    """`rubrics` of `GET /info`: one for the outcome and one for events; None where there is no criterion."""
    parts: dict[str, tuple[Criterion, ...]] = {}
    goal = ""
    for part in ("outcome", "events"):
        table = given.get(part) if isinstance(given, Mapping) else None
        table = table if isinstance(table, Mapping) else {}
        goal = goal or str(table.get("goal_text") or "")
        listed = table.get("criteria")
        found = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
        parts[part] = tuple(_criterion(one) for one in found if one.get("id") and one.get("description"))
    rubric = Rubric(goal, parts["events"], parts["outcome"])
    return rubric if rubric.events or rubric.outcome else None


def _criterion(given: Mapping[str, Any]) -> Criterion:
    weight = given.get("weight")
    usable = isinstance(weight, int | float) and not isinstance(weight, bool) and 0 < weight < math.inf
    return Criterion(str(given["id"]), str(given["description"]), float(weight) if usable and weight else 1.0)


# -- who is asked ------------------------------------------------------------------------------------------


def _verifier(
    graph: Graph,
    section: PromptLearningJudgeConfig,
    options: BackendOptions,
    models: Mapping[str, ChatModel],
    environment: Mapping[str, str],
) -> Verifier:
    specification = specification_of(section)
    structured = options.response_format == "json_schema"
    judges = {
        node.name: Judge(
            node.name,
            node.rubric,
            models[_model(node, section, environment)],
            specification,
            structured,
        )
        for node in graph.judges
        if node.rubric is not None
    }
    most = Usage(ASSUMED_PROMPT_TOKENS, options.max_completion_tokens)
    given = _price(section)
    prices = [given.of(most) if given else cost(name, most) for name in models]
    known = [usd for usd in prices if usd is not None]
    return Verifier(
        graph,
        judges,
        name=section.synth_verifier_id,
        concurrency=section.concurrency,
        retry=RetryPolicy(attempts=section.attempts, base=0.5),
        usd=max(known) if len(known) == len(prices) else None,
        tokens=most.tokens if "max_completion_tokens" in options.model_fields_set else None,
        repeat=section.repeat_share,
    )


def specification_of(section: PromptLearningJudgeConfig) -> str:
    """What the program was asked to be, as far as the document says it. Raises Misconfigured."""
    text = section.spec_context or ""
    if not text and section.spec_path:
        try:
            text = Path(section.spec_path).read_text("utf-8")
        except (OSError, ValueError) as error:
            raise Misconfigured("judge.spec_path", f"cannot be read: {error}") from error
    return cut(text, CHARACTERS_A_TOKEN * section.spec_max_tokens)


def _price(section: PromptLearningJudgeConfig) -> Price | None:
    if section.prompt_usd_per_million is None or section.completion_usd_per_million is None:
        return None
    return Price(section.prompt_usd_per_million, section.completion_usd_per_million)


def _model(node: Node, section: PromptLearningJudgeConfig, environment: Mapping[str, str]) -> str:
    name = node.model or section.backend_model or environment.get(MODEL, "")
    if not name:
        raise Misconfigured(
            "judge.backend_model", f"name the model that judges, here or in the environment as {MODEL}"
        )
    return name


def _chat(
    name: str,
    section: PromptLearningJudgeConfig,
    options: BackendOptions,
    environment: Mapping[str, str],
    *,
    asks: bool,
) -> ChatModel:
    provider = section.backend_provider or ProviderName.openai
    row = PROVIDERS.get(ProviderName(provider)) if provider in ProviderName.__members__ else None
    given = section.backend_base or environment.get(BASE_URL) or ""
    base_url = given or (row.base_url if row else "")
    key = environment.get(KEY) or None
    if section.backend_api_key_env not in ("", UNSAID_KEY):
        key = environment.get(section.backend_api_key_env) or None
        if asks and key is None:
            raise Misconfigured(
                "judge.backend_api_key_env",
                f"the environment variable {section.backend_api_key_env} is not set",
            )
    elif key is None and row is not None and base_url == row.base_url:
        key = environment.get(row.key) or None
        if asks and key is None and not given:
            raise Misconfigured(
                "judge",
                f"no model judges yet: set {row.key} for {base_url}, or give backend_base (or {BASE_URL}), "
                "the address of an OpenAI-compatible endpoint of yours",
            )
    return ChatModel(
        base_url,
        name,
        key,
        timeout=section.timeout,
        temperature=options.temperature,
        max_tokens=options.max_completion_tokens,
        extra=options.model_extra,
        price=_price(section),
    )
