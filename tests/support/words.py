"""A task in words: an example is solved once its word stands in the text. With a reflection model for it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paretune.library.adapter import EvaluationBatch

WANTED = re.compile(r"say (\w+)")
FENCE = "```"


def words(start: int, end: int) -> list[str]:
    """Examples: the words of these numbers."""
    return [f"word{number}" for number in range(start, end)]


class Killed(BaseException):
    """What no code catches: the end of the process, as far as the run can see."""


@dataclass
class WordAdapter:
    """Counts what it is asked. `low` and `high` are the two scores; `objectives`: shortness is a second one.
    After `dies_after` evaluations it is Killed."""

    low: float = 0.0
    high: float = 1.0
    objectives: bool = False
    dies_after: int | None = None
    calls: int = 0
    batches: list[tuple[str, int, bool]] = field(default_factory=list)
    asked: list[tuple[str, str, bool]] = field(default_factory=list)
    propose_new_texts: Any = None

    def evaluate(
        self, batch: list[str], candidate: dict[str, str], capture_traces: bool = False
    ) -> EvaluationBatch[Any, Any]:
        if self.dies_after is not None and self.calls + len(batch) > self.dies_after:
            raise Killed
        text = " ".join(candidate.values())
        self.calls += len(batch)
        self.batches.append((text, len(batch), capture_traces))
        self.asked += [(text, word, capture_traces) for word in batch]
        scores = [self.high if re.search(rf"\b{word}\b", text) else self.low for word in batch]
        traces = [{"word": word, "score": score} for word, score in zip(batch, scores, strict=True)]
        named = [{"right": score, "short": 1 / (1 + len(text))} for score in scores]
        return EvaluationBatch(
            [f"heard {word}" for word in batch],
            scores,
            traces if capture_traces else None,
            named if self.objectives else None,
        )

    def make_reflective_dataset(
        self,
        candidate: dict[str, str],
        eval_batch: EvaluationBatch[Any, Any],
        components_to_update: list[str],
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        assert eval_batch.trajectories is not None
        records = [
            {
                "Input": trace["word"],
                "Feedback": "good" if trace["score"] > self.low else f"say {trace['word']}",
            }
            for trace in eval_batch.trajectories
        ]
        return dict.fromkeys(components_to_update, records)


@dataclass
class Author:
    """Reads the current text and what is wanted out of the prompt, and adds one of the words."""

    prompts: list[str] = field(default_factory=list)

    def __call__(self, prompt: Any) -> str:
        text = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        self.prompts.append(text)
        found = re.search(r"<current_text>\n(.*?)\n</current_text>", text, re.DOTALL)
        assert found is not None
        current = found[1]
        missing = [word for word in WANTED.findall(text) if word not in current.split()]
        return f"Here it is.\n{FENCE}\n{' '.join([current, *missing[:1]])}\n{FENCE}"


class Silent:
    """A logger that says nothing."""

    def log(self, message: str) -> None:
        del message
