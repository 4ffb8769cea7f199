"""Who writes new texts from what was seen: one question to a model for each component."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, cast, runtime_checkable

from paretune.core.errors import ParetuneError
from paretune.library.at_once import at_once
from paretune.library.components import ReflectionComponentSelector as ReflectionComponentSelector
from paretune.library.instruction import InstructionProposalSignature
from paretune.library.lm import LM
from paretune.library.selectors import CandidateSelector as CandidateSelector
from paretune.library.signature import LanguageModel as LanguageModel
from paretune.library.signature import Prompt
from paretune.library.signature import Signature as Signature
from paretune.propose.guards import Reason, Rejected

Texts = dict[str, str]
ReflectiveDataset = Mapping[str, Sequence[Mapping[str, Any]]]

ReflectionJob = tuple[Texts, ReflectiveDataset, list[str]]
"""(candidate, reflective dataset, components to update): the arguments of one `reflect`."""

CALLS_AT_ONCE = 32
"""The most calls in flight to a model that takes one prompt at a time."""

_LOG = logging.getLogger("paretune.library")


@dataclass
class ReflectionProposal:
    """New texts by component; prompts and answers word for word, also of what could not be used.

    `metadata["rejected"]`: component -> reason and detail, where an answer gave no text.
    """

    new_texts: Texts
    prompts: dict[str, Prompt] = field(default_factory=dict)
    raw_lm_outputs: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


@runtime_checkable
class ReflectionLM(Protocol):
    """Writes texts, and says who is to be asked next time: one that learns returns its successor."""

    def reflect(
        self, candidate: Texts, reflective_dataset: ReflectiveDataset, components_to_update: list[str]
    ) -> tuple[ReflectionProposal, ReflectionLM]: ...


@runtime_checkable
class BatchReflectionLM(ReflectionLM, Protocol):
    """One that takes an iteration's questions together; one answer a job, in order."""

    def reflect_many(self, jobs: list[ReflectionJob]) -> list[tuple[ReflectionProposal, ReflectionLM]]: ...


class StatelessReflectionLM:
    """Asks `lm` once for each component that has records, and learns nothing.

    `reflection_prompt_template`: one for all components, or by component; the built-in one elsewhere.
    All questions go out at once: through `lm.batch_complete(list of messages)` if there is one, otherwise
    from threads. Raises Misconfigured on a template without its two places.
    """

    def __init__(
        self,
        lm: LanguageModel,
        reflection_prompt_template: str | dict[str, str] | None = None,
        logger: Any | None = None,
    ) -> None:
        self.lm = lm
        self.reflection_prompt_template = reflection_prompt_template
        self.logger = logger
        self._warned: set[str] = set()
        by_component = isinstance(reflection_prompt_template, dict)
        given = reflection_prompt_template if by_component else {"": reflection_prompt_template}
        for template in cast(dict[str, str | None], given).values():
            InstructionProposalSignature.validate_prompt_template(template)

    @property
    def total_cost(self) -> float:
        """US dollars so far, 0 from a model that does not know."""
        return float(getattr(self.lm, "total_cost", 0.0))

    def reflect(
        self, candidate: Texts, reflective_dataset: ReflectiveDataset, components_to_update: list[str]
    ) -> tuple[ReflectionProposal, Self]:
        """Texts for the components that have records. A component whose answer is unusable is left out.

        Raises Rejected when no answer is usable, and what the model raised when it only raised.
        """
        [(proposal, failures)] = self._answered([(candidate, reflective_dataset, components_to_update)])
        if failures and not proposal.new_texts:
            raise failures[0]
        return proposal, self

    def reflect_many(self, jobs: list[ReflectionJob]) -> list[tuple[ReflectionProposal, Self]]:
        """As `reflect`, one answer a job; a job that fails has no new texts and spoils no other."""
        return [(proposal, self) for proposal, _ in self._answered(jobs)]

    def _answered(self, jobs: list[ReflectionJob]) -> list[tuple[ReflectionProposal, list[Exception]]]:
        results = [(ReflectionProposal({}), list[Exception]()) for _ in jobs]
        asked: list[tuple[int, str, Prompt]] = []
        for place, (candidate, dataset, components) in enumerate(jobs):
            for name in components:
                if not dataset.get(name):
                    self._say(f"component {name!r} has no records to learn from and keeps its text")
                    continue
                prompt = self._prompt(name, candidate[name], dataset[name])
                results[place][0].prompts[name] = prompt
                asked.append((place, name, prompt))
        for (place, name, _), answer in zip(asked, self._ask([p for _, _, p in asked]), strict=True):
            proposal, failures = results[place]
            try:
                proposal.new_texts[name] = _read(name, answer, proposal)
            except Exception as error:  # noqa: BLE001  (the model's own too; handed on to who asked)
                failures.append(error)
                proposal.metadata.setdefault("rejected", {})[name] = _reason(error)
                self._say(f"no new text for component {name!r}: {error}")
        return results

    def _prompt(self, name: str, text: str, records: Sequence[Mapping[str, Any]]) -> Prompt:
        template = self.reflection_prompt_template
        if isinstance(template, dict):
            if name not in template and name not in self._warned:
                self._warned.add(name)
                self._say(f"component {name!r} has no template of its own and gets the built-in one")
            template = template.get(name)
        return InstructionProposalSignature.prompt_renderer(
            {
                "current_instruction_doc": text,
                "dataset_with_feedback": list(records),
                "prompt_template": template,
            }
        )

    def _ask(self, prompts: list[Prompt]) -> list[str | Exception]:
        batch = getattr(self.lm, "batch_complete", None)
        # Ours asks one by one in any case; asked so here, one failure is one question's.
        if batch is None or isinstance(self.lm, LM) or len(prompts) < 2:
            return at_once(self.lm, prompts, workers=CALLS_AT_ONCE)
        messages = [[{"role": "user", "content": p}] if isinstance(p, str) else p for p in prompts]
        try:
            answers: list[str | Exception] = list(batch(messages))
        except Exception as error:  # noqa: BLE001  (handed on with each question)
            return [error] * len(prompts)
        if len(answers) != len(prompts):
            wrong = f"batch_complete gave {len(answers)} answers to {len(prompts)} prompts"
            return [ValueError(wrong)] * len(prompts)
        return answers

    def _say(self, message: str) -> None:
        if self.logger is not None:
            self.logger.log(message)
        else:
            _LOG.info(message)


def _read(name: str, answer: str | Exception, proposal: ReflectionProposal) -> str:
    if isinstance(answer, Exception):
        raise answer
    if not isinstance(answer, str):
        raise TypeError(f"the reflection model answers with text, not {type(answer).__name__}")
    proposal.raw_lm_outputs[name] = answer
    return InstructionProposalSignature.output_extractor(answer)["new_instruction"]


def _reason(error: Exception) -> dict[str, str]:
    if isinstance(error, Rejected):
        return {"reason": str(error.reason), "detail": error.detail}
    said = str(error) if isinstance(error, ParetuneError) else f"{type(error).__name__}: {error}"
    return {"reason": str(Reason.PROPOSER_FAILED), "detail": said}
