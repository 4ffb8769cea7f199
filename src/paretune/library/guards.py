"""What turns a proposal down before it costs an evaluation, as far as the user has a say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paretune.core.placeholders import placeholders
from paretune.propose.base import Surface


@dataclass(frozen=True, slots=True)
class Guards:
    """`placeholders`: every `{name}` of the seed candidate's texts must survive. `copies`: no run of words of
    a training example may be copied. `max_tokens` limits a whole candidate, at four characters a token.

    Empty, unchanged and repeated proposals, and answers that were cut off, are always turned down.
    """

    placeholders: bool = True
    copies: bool = True
    max_tokens: int | None = None

    def surface(self, seed: Mapping[str, str]) -> Surface:
        """The rules of these texts."""
        holes = {name: tuple(placeholders(text)) for name, text in seed.items()} if self.placeholders else {}
        return Surface({name: found for name, found in holes.items() if found}, max_tokens=self.max_tokens)
