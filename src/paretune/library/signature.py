"""A question to a model as a class: how it is written, how the answer is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

Prompt = str | list[dict[str, Any]]
"""Text, or chat messages whose content is text or a list of parts."""


@runtime_checkable
class LanguageModel(Protocol):
    """A model that answers a prompt. Also a plain function."""

    def __call__(self, prompt: Prompt) -> str: ...


class Signature:
    """Subclasses write the prompt from `input_keys` and read `output_keys` from the answer."""

    prompt_template: ClassVar[str]
    input_keys: ClassVar[list[str]]
    output_keys: ClassVar[list[str]]

    @classmethod
    def prompt_renderer(cls, input_dict: Mapping[str, Any]) -> Prompt:
        raise NotImplementedError(f"{cls.__name__} does not say how its prompt is written")

    @classmethod
    def output_extractor(cls, lm_out: str) -> dict[str, str]:
        raise NotImplementedError(f"{cls.__name__} does not say how an answer is read")

    @classmethod
    def run(cls, lm: LanguageModel, input_dict: Mapping[str, Any]) -> dict[str, str]:
        """What the model answered, read."""
        return cls.run_with_metadata(lm, input_dict)[0]

    @classmethod
    def run_with_metadata(
        cls, lm: LanguageModel, input_dict: Mapping[str, Any]
    ) -> tuple[dict[str, str], Prompt, str]:
        """(what was read, the prompt, the answer word for word)."""
        prompt = cls.prompt_renderer(input_dict)
        answer = lm(prompt).strip()
        return cls.output_extractor(answer), prompt, answer
