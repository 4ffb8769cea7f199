from __future__ import annotations

import pytest

from paretune.core.errors import Misconfigured
from paretune.llm.efforts import EFFORTS, OUTPUT_TOKENS, ProposerFile, resolve

OPENAI = {"OPENAI_API_KEY": "sk-openai"}
OWN = {"PARETUNE_PROPOSER_BASE_URL": "http://127.0.0.1:8000/v1"}


@pytest.mark.parametrize(
    ("effort", "model", "tokens"),
    [("LOW", "gpt-4o-mini", 10_000), ("MEDIUM", "gpt-4o", 10_000), ("HIGH", "gpt-5", 10_000)],
)
def test_the_table(effort: str, model: str, tokens: int) -> None:
    found = resolve(effort, "FAST", environment=OPENAI)
    assert (found.base_url, found.model) == ("https://api.openai.com/v1", model)
    assert (found.api_key, found.output_tokens) == ("sk-openai", tokens)


def test_low_context_is_another_endpoint_with_another_key() -> None:
    found = resolve("LOW_CONTEXT", "RAPID", environment={**OPENAI, "GROQ_API_KEY": "gsk"})
    assert (found.model, found.api_key, found.output_tokens) == ("openai/gpt-oss-120b", "gsk", 3_000)
    assert found.context < EFFORTS["LOW"].context
    with pytest.raises(Misconfigured, match="GROQ_API_KEY"):
        resolve("LOW_CONTEXT", "RAPID", environment=OPENAI)


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("output", OUTPUT_TOKENS)
def test_one_configured_endpoint_serves_every_effort(effort: str, output: str) -> None:
    if output == "RAPID" and effort != "LOW_CONTEXT":
        with pytest.raises(Misconfigured, match="proposer_output_tokens"):
            resolve(effort, output, environment=OWN)
        return
    found = resolve(effort, output, environment={**OWN, "PARETUNE_PROPOSER_MODEL": "mine"})
    assert (found.base_url, found.model) == (OWN["PARETUNE_PROPOSER_BASE_URL"], "mine")
    assert (found.api_key, found.output_tokens) == (None, OUTPUT_TOKENS[output])
    assert 0 < found.prompt_tokens < found.context


def test_the_model_follows_the_effort_when_only_the_address_is_configured() -> None:
    assert [resolve(e, "FAST", environment=OWN).model for e in EFFORTS] == [
        row.model for row in EFFORTS.values()
    ]


def test_no_more_output_than_the_row_s_model_can_write() -> None:
    assert resolve("LOW", "SLOW", environment=OPENAI).output_tokens == 16_384
    assert resolve("HIGH", "SLOW", environment=OPENAI).output_tokens == 25_000


def test_order_file_then_own_variables_then_openai_s() -> None:
    environment = {
        **OPENAI,
        **OWN,
        "OPENAI_BASE_URL": "http://openai-like/v1",
        "PARETUNE_PROPOSER_MODEL": "theirs",
        "PARETUNE_PROPOSER_API_KEY": "pk",
        "MY_KEY": "mine",
    }
    file = ProposerFile("https://file/v1", "file-model", "MY_KEY")
    found = resolve("LOW", "FAST", file=file, environment=environment)
    assert (found.base_url, found.model, found.api_key) == ("https://file/v1", "file-model", "mine")
    found = resolve("LOW", "FAST", environment=environment)
    assert (found.base_url, found.model, found.api_key) == ("http://127.0.0.1:8000/v1", "theirs", "pk")
    found = resolve("LOW", "FAST", environment={**OPENAI, "OPENAI_BASE_URL": "http://openai-like/v1"})
    assert (found.base_url, found.model, found.api_key) == (
        "http://openai-like/v1",
        "gpt-4o-mini",
        "sk-openai",
    )


def test_openai_s_key_does_not_go_to_an_address_that_only_a_file_names() -> None:
    file = ProposerFile(base_url="https://elsewhere.example/v1")
    assert resolve("LOW", "FAST", file=file, environment=OPENAI).api_key is None
    file = ProposerFile(base_url="https://api.openai.com/v1")
    assert resolve("LOW", "FAST", file=file, environment=OPENAI).api_key == "sk-openai"
    file = ProposerFile(base_url="https://api.groq.com/openai/v1")
    assert resolve("LOW", "FAST", file=file, environment=OPENAI).api_key is None


def test_what_is_missing_is_named() -> None:
    with pytest.raises(Misconfigured, match=r"OPENAI_API_KEY.*PARETUNE_PROPOSER_BASE_URL.*operators"):
        resolve("LOW", "FAST", environment={})
    with pytest.raises(Misconfigured, match="MY_KEY is not set"):
        resolve("LOW", "FAST", file=ProposerFile(api_key_env="MY_KEY"), environment=OPENAI)
    with pytest.raises(Misconfigured, match="proposer_effort"):
        resolve("lowest", "FAST", environment=OPENAI)
    with pytest.raises(Misconfigured, match="proposer_output_tokens"):
        resolve("LOW", "SLOWEST", environment=OPENAI)


def test_the_key_is_not_printed() -> None:
    assert "sk-openai" not in repr(resolve("LOW", "FAST", environment=OPENAI))
