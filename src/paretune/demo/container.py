"""A demo task as a task container: the prompt goes to a model over HTTP, the answer is scored."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from paretune.container import Container, Prompt, Result
from paretune.core.canonical import digest, stream
from paretune.demo.task import DemoExample, DemoTask
from paretune.llm.chat import ChatModel

SELECT_SEEDS_FROM, TEST_SEEDS_FROM = 5_000, 10_000
"""Training examples are the seeds from 0; the others those from here."""


def seeds_of(task: DemoTask) -> dict[int, DemoExample]:
    """Seed -> example, as the container numbers them."""
    return {
        **dict(enumerate(task.train)),
        **dict(enumerate(task.select, SELECT_SEEDS_FROM)),
        **dict(enumerate(task.test, TEST_SEEDS_FROM)),
    }


def demo_container(task: DemoTask, model: ChatModel, *, shuffled: bool = False) -> Container:
    """The container of this task. With `shuffled` the rewards say nothing: the control of the demo."""
    examples = seeds_of(task)
    name = f"demo-{task.name}" + ("-shuffled" if shuffled else "")
    texts = [[example.text, example.answer] for example in examples.values()]
    version = digest([model.identity, inspect.getsource(inspect.getmodule(task.score) or task.score), texts])
    container = Container(name, seeds=list(examples), version=version)

    @container.rollout
    async def rollout(prompt: Prompt, seed: int) -> Result:
        example = examples[seed]
        completion = await model.complete(prompt.messages(text=example.text))
        reward, feedback = task.score(example.answer, completion.text)
        if shuffled:
            reward = float(stream(0, "shuffled", seed, _fingerprint(prompt.components)).random() < 0.5)
        return Result(
            reward=reward,
            input=example.text,
            output=completion.text,
            expected=example.answer,
            feedback=feedback,
            usage=completion.usage,
        )

    return container


def _fingerprint(components: Mapping[str, str]) -> str:
    return "\n".join(f"{name}={text}" for name, text in sorted(components.items()))
