"""Which endpoint and model write proposals, by `proposer_effort` and `proposer_output_tokens`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import urlsplit

from paretune.config.providers import PROVIDERS, Endpoint, ProviderName
from paretune.core.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Effort:
    """A row: where the model is, and its limits in tokens.

    `context` is what prompt and answer may take together, `longest_answer` what the model can write at
    once.
    """

    endpoint: Endpoint
    model: str
    context: int
    longest_answer: int


_OPENAI, _GROQ = PROVIDERS[ProviderName.openai], PROVIDERS[ProviderName.groq]

EFFORTS: Mapping[str, Effort] = MappingProxyType(
    {
        # A quarter of the model's window: little context on purpose, as the name says.
        "LOW_CONTEXT": Effort(_GROQ, "openai/gpt-oss-120b", 32_768, 32_768),
        "LOW": Effort(_OPENAI, "gpt-4o-mini", 128_000, 16_384),
        "MEDIUM": Effort(_OPENAI, "gpt-4o", 128_000, 16_384),
        "HIGH": Effort(_OPENAI, "gpt-5", 400_000, 128_000),
    }
)
"""The documented rows. Limits are the vendors' as of writing."""

OUTPUT_TOKENS: Mapping[str, int] = MappingProxyType({"RAPID": 3_000, "FAST": 10_000, "SLOW": 25_000})
"""`proposer_output_tokens` to the most tokens of an answer."""

_EFFORT, _OUTPUT = "gepa.proposer_effort", "gepa.proposer_output_tokens"
_OWN_KEYS = {urlsplit(endpoint.base_url).hostname: endpoint.key for endpoint in PROVIDERS.values()}


@dataclass(frozen=True, slots=True)
class ProposerModel:
    """What to ask: ready for `ChatModel`. `api_key` is None where none is needed, and never printed."""

    base_url: str
    model: str
    api_key: str | None = field(repr=False)
    context: int
    output_tokens: int

    @property
    def prompt_tokens(self) -> int:
        """Tokens of a prompt that leave room for the answer."""
        return max(self.context - self.output_tokens, self.context // 4)


@dataclass(frozen=True, slots=True)
class ProposerFile:
    """What the job's file says about the proposer; None where it says nothing."""

    base_url: str | None = None
    model: str | None = None
    api_key_env: str | None = None


def resolve(
    effort: str,
    output_tokens: str,
    *,
    file: ProposerFile = ProposerFile(),
    environment: Mapping[str, str],
) -> ProposerModel:
    """The endpoint, model and key for this effort.

    Address: the file, PARETUNE_PROPOSER_BASE_URL, OPENAI_BASE_URL, the table's row. Model: the file,
    PARETUNE_PROPOSER_MODEL, the row. One configured endpoint serves every effort. Key: `api_key_env`,
    PARETUNE_PROPOSER_API_KEY, and then the key that belongs to the address: OPENAI_API_KEY goes to
    OpenAI and to an address from the environment, never to one that only the file names.
    Raises Misconfigured, naming field and fix.
    """
    row, tokens = _row(effort, output_tokens)
    address = file.base_url or _address(environment)
    base_url = address or row.endpoint.base_url
    model = file.model or environment.get("PARETUNE_PROPOSER_MODEL") or row.model
    if model == row.model:
        tokens = min(tokens, row.longest_answer)
    return ProposerModel(base_url, model, _key(base_url, address, file, environment), row.context, tokens)


def _row(effort: str, output_tokens: str) -> tuple[Effort, int]:
    if effort not in EFFORTS:
        raise Misconfigured(_EFFORT, f"{effort!r} is none of {', '.join(EFFORTS)}")
    if output_tokens not in OUTPUT_TOKENS:
        raise Misconfigured(_OUTPUT, f"{output_tokens!r} is none of {', '.join(OUTPUT_TOKENS)}")
    if output_tokens == "RAPID" and effort != "LOW_CONTEXT":
        raise Misconfigured(_OUTPUT, f'"RAPID" needs proposer_effort = "LOW_CONTEXT", not "{effort}"')
    return EFFORTS[effort], OUTPUT_TOKENS[output_tokens]


def _address(environment: Mapping[str, str]) -> str | None:
    return environment.get("PARETUNE_PROPOSER_BASE_URL") or environment.get("OPENAI_BASE_URL") or None


def _key(
    base_url: str, address: str | None, file: ProposerFile, environment: Mapping[str, str]
) -> str | None:
    if file.api_key_env:
        if not environment.get(file.api_key_env):
            raise Misconfigured(
                "proposer.api_key_env", f"the environment variable {file.api_key_env} is not set"
            )
        return environment[file.api_key_env]
    if environment.get("PARETUNE_PROPOSER_API_KEY"):
        return environment["PARETUNE_PROPOSER_API_KEY"]
    owner = _OWN_KEYS.get(urlsplit(base_url).hostname or "")
    if owner is None and not file.base_url:
        owner = "OPENAI_API_KEY"
    key = environment.get(owner) if owner else None
    if not key and not address:
        raise Misconfigured(
            "proposer",
            f"no model writes proposals yet: set {owner} for {base_url}, or PARETUNE_PROPOSER_BASE_URL to an "
            'OpenAI-compatible endpoint of yours, or proposer_type = "operators", which needs no model',
        )
    return key or None
