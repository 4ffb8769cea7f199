"""Names of the proposer's model size and answer length, as both algorithms spell them."""

from __future__ import annotations

from typing import Literal

Effort = Literal["LOW_CONTEXT", "LOW", "MEDIUM", "HIGH"]
OutputTokens = Literal["RAPID", "FAST", "SLOW"]


def refuse_rapid(effort: str, output_tokens: str) -> None:
    """Raises ValueError if answers are to be RAPID and the effort is not the one made for that."""
    if output_tokens == "RAPID" and effort != "LOW_CONTEXT":
        raise ValueError(
            f'proposer_output_tokens = "RAPID" needs proposer_effort = "LOW_CONTEXT", not "{effort}"'
        )
