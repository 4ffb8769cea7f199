"""Names of the proposer's kind, model size and answer length, as both algorithms spell them."""

from __future__ import annotations

from typing import Literal

ProposerType = Literal["dspy", "synth", "gepa-ai", "spec", "operators", "agent"]
Effort = Literal["LOW_CONTEXT", "LOW", "MEDIUM", "HIGH"]
OutputTokens = Literal["RAPID", "FAST", "SLOW"]


def refuse_rapid(effort: str, output_tokens: str) -> None:
    """Raises ValueError if answers are to be RAPID and the effort is not the one made for that."""
    if output_tokens == "RAPID" and effort != "LOW_CONTEXT":
        raise ValueError(
            f'proposer_output_tokens = "RAPID" needs proposer_effort = "LOW_CONTEXT", not "{effort}"'
        )


def refuse_no_spec(proposer_type: str, spec_path: str | None) -> None:
    """Raises ValueError if proposals are to follow a specification and none is named."""
    if proposer_type == "spec" and not spec_path:
        raise ValueError("proposer_type 'spec' needs spec_path")
