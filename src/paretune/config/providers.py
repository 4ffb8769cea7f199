"""Who serves models: the documented providers, and any other by its address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, Field


class ProviderName(StrEnum):
    """The documented providers. Any other name is an OpenAI-compatible endpoint given by its URL."""

    openai = "openai"
    groq = "groq"
    google = "google"


class InferenceMode(StrEnum):
    """Where inference runs, in the documents' words; the task container calls the model."""

    synth_hosted = "synth_hosted"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible address, and the environment variable that holds its key."""

    base_url: str
    key: str


PROVIDERS: Mapping[ProviderName, Endpoint] = MappingProxyType(
    {
        ProviderName.openai: Endpoint("https://api.openai.com/v1", "OPENAI_API_KEY"),
        ProviderName.groq: Endpoint("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
        ProviderName.google: Endpoint(
            "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"
        ),
    }
)


def _known(name: str) -> str:
    return ProviderName(name) if name in ProviderName.__members__ else name


Provider = Annotated[str, Field(min_length=1), AfterValidator(_known)]
"""A documented provider, or the name of any other."""


def address(provider: Any, url: str | None, key: str) -> str | None:
    """The checked address of this provider's endpoint, None if it has a documented one.

    `key` is what the document calls the address. Raises ValueError without an address for a provider
    that has no documented one, and for an address that holds a secret.
    """
    if url is None:
        if isinstance(provider, str) and provider not in ProviderName.__members__:
            raise ValueError(
                f"provider {provider!r} is none of {', '.join(ProviderName)}: "
                f"give the URL of its OpenAI-compatible endpoint as {key}"
            )
        return None
    url = url.strip()
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{key} must start with http:// or https://")
    if "@" in url.split("//", 1)[1].split("/", 1)[0] or "?" in url:
        raise ValueError(f"{key} must hold no user, password or query: keys stay with the task")
    return url


def _own(value: bool | None) -> bool | None:
    if value is False:
        raise ValueError("false asks for the provider's credits; here keys are always your own: leave it out")
    return value


OwnKeys = Annotated[bool | None, AfterValidator(_own)]
"""Whether calls are made with the user's own keys. They always are."""
