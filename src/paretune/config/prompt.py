"""The prompt that a job starts from."""

from __future__ import annotations

from collections import Counter

from pydantic import Field

from paretune.config.base import Section


class MessagePatternConfig(Section):
    """One message. `{placeholders}` in the pattern are filled per example by the container."""

    role: str
    pattern: str
    order: int = 0
    name: str = ""


class PromptPatternConfig(Section):
    """The initial prompt. `wildcards` are fixed values put into the patterns at load."""

    id: str | None = None
    name: str | None = None
    messages: list[MessagePatternConfig] = Field(default_factory=list)
    wildcards: dict[str, str] = Field(default_factory=dict)

    def ordered(self) -> list[tuple[str, MessagePatternConfig]]:
        """(component name, message) in order: `name` if given, else the role, numbered when it repeats."""
        messages = sorted(self.messages, key=lambda m: m.order)
        seen: Counter[str] = Counter()
        named = []
        for message in messages:
            base = message.name or message.role
            seen[base] += 1
            component = base if seen[base] == 1 else f"{base}_{seen[base]}"
            named.append((component, message.model_copy(update={"pattern": self._filled(message.pattern)})))
        return named

    def _filled(self, pattern: str) -> str:
        for name, value in self.wildcards.items():
            pattern = pattern.replace("{" + name + "}", value)
        return pattern
