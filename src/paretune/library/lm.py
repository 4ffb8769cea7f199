"""Models by name, as gepa's users write them: `LM("openai/gpt-4.1-mini")`.

Through litellm where it is installed; otherwise straight to the providers that speak OpenAI's protocol.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import random
import threading
import weakref
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from paretune.config.providers import PROVIDERS, Endpoint, ProviderName
from paretune.core.errors import AttemptFailed, FailureKind, Misconfigured
from paretune.core.retry import RetryPolicy, retrying
from paretune.core.rollout import Usage
from paretune.library.at_once import at_once
from paretune.library.signature import Prompt
from paretune.llm.chat import ChatModel

Messages = list[dict[str, Any]]

T = TypeVar("T")

_LOG = logging.getLogger("paretune.library")

ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {
        "openai": PROVIDERS[ProviderName.openai],
        "groq": PROVIDERS[ProviderName.groq],
        "google": PROVIDERS[ProviderName.google],
        "gemini": PROVIDERS[ProviderName.google],
    }
)
"""What stands before the slash of a model's name -> where it is served, without litellm."""


class _Meter:
    """Counts of calls made from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = Usage(cost_usd=0.0)

    def _count(self, usage: Usage) -> None:
        with self._lock:
            self._total = Usage(
                self._total.prompt_tokens + usage.prompt_tokens,
                self._total.completion_tokens + usage.completion_tokens,
                (self._total.cost_usd or 0.0) + (usage.cost_usd or 0.0),
            )

    @property
    def total_cost(self) -> float:
        """US dollars so far; calls whose price nobody knows count as nothing."""
        return self._total.cost_usd or 0.0

    @property
    def total_tokens_in(self) -> int:
        """Tokens of all prompts so far."""
        return self._total.prompt_tokens

    @property
    def total_tokens_out(self) -> int:
        """Tokens of all answers so far."""
        return self._total.completion_tokens


class LM(_Meter):
    """A model by its litellm name. `num_retries` more attempts where a failure may pass.

    `kwargs` go out with every call; `api_base` and `api_key` name another endpoint. Raises AttemptFailed
    when a call fails for good, Misconfigured when nobody here serves such a name.
    """

    def __init__(
        self,
        model: str,
        temperature: float | None = None,
        max_tokens: int | None = None,
        num_retries: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.model = model
        self.num_retries = num_retries
        sampling = {"temperature": temperature, "max_tokens": max_tokens}
        self.completion_kwargs = {k: v for k, v in sampling.items() if v is not None} | kwargs
        self._chosen: _Way | None = None
        self._choosing = threading.Lock()

    def __repr__(self) -> str:
        return f"LM(model={self.model!r})"

    def __call__(self, prompt: Prompt) -> str:
        """The answer to a text, or to messages. Blocks; may be called from several threads."""
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        answer = self._way().complete(messages, self.completion_kwargs)
        self._count(answer.usage)
        if answer.finish_reason == "length":
            _LOG.warning("%s broke off after %d tokens", self.model, answer.usage.completion_tokens)
        return answer.text

    def batch_complete(
        self, messages_list: list[Messages], max_workers: int = 10, **kwargs: Any
    ) -> list[str]:
        """Answers in order, up to `max_workers` calls at once. Raises the first failure, after all ended."""
        asking = self._with(kwargs) if kwargs else self
        answers = at_once(asking, messages_list, workers=max_workers)
        if asking is not self:
            asking.close()
            self._count(asking._total)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [answer for answer in answers if isinstance(answer, str)]

    def close(self) -> None:
        """Closes the connections, as does letting go of the object; the next call opens them again."""
        with self._choosing:
            chosen, self._chosen = self._chosen, None
        if chosen is not None:
            chosen.close()

    def _with(self, kwargs: dict[str, Any]) -> LM:
        return LM(self.model, num_retries=self.num_retries, **(self.completion_kwargs | kwargs))

    def _way(self) -> _Way:
        with self._choosing:
            if self._chosen is None:
                try:
                    litellm = importlib.import_module("litellm")
                except ImportError:
                    self._chosen = _Direct(self.model, self.num_retries, self.completion_kwargs)
                else:
                    self._chosen = _Litellm(litellm, self.model, self.num_retries)
            return self._chosen


class TrackingLM(_Meter):
    """A callable that is counted: four characters a token, no cost, for nobody says what it is."""

    def __init__(self, fn: Callable[[Prompt], str]) -> None:
        super().__init__()
        self._fn = fn

    def __call__(self, prompt: Prompt) -> str:
        answer = self._fn(prompt)
        read = len(prompt) if isinstance(prompt, str) else sum(_length(m.get("content")) for m in prompt)
        self._count(Usage(read // 4, len(answer) // 4))
        return answer


def _length(content: object) -> int:
    if isinstance(content, list):
        return sum(_length(part.get("text")) for part in content if isinstance(part, dict))
    return len(content) if isinstance(content, str) else 0


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    finish_reason: str
    usage: Usage


class _Way(Protocol):
    """How a model is reached."""

    def complete(self, messages: Messages, options: Mapping[str, Any]) -> _Answer: ...
    def close(self) -> None: ...


class _Litellm:
    """Through litellm, which knows the providers and retries by itself."""

    def __init__(self, litellm: Any, model: str, num_retries: int) -> None:
        self._litellm = litellm
        self._model = model
        self._num_retries = num_retries

    def complete(self, messages: Messages, options: Mapping[str, Any]) -> _Answer:
        try:
            answer = self._litellm.completion(
                model=self._model,
                messages=messages,
                num_retries=self._num_retries,
                drop_params=True,
                **options,
            )
        except Exception as error:  # litellm's own, of many kinds
            kind = _KINDS.get(getattr(error, "status_code", None) or 0, FailureKind.SERVER_ERROR)
            raise AttemptFailed(kind, f"{self._model}: {type(error).__name__}: {error}") from error
        choice, usage = answer.choices[0], getattr(answer, "usage", None)
        try:
            cost = float(self._litellm.completion_cost(completion_response=answer))
        except Exception:  # noqa: BLE001  (a price that litellm does not know, in whichever way it says so)
            cost = None
        return _Answer(
            choice.message.content or "",
            str(choice.finish_reason or ""),
            Usage(
                int(getattr(usage, "prompt_tokens", 0) or 0),
                int(getattr(usage, "completion_tokens", 0) or 0),
                cost,
            ),
        )

    def close(self) -> None:
        """Its connections are its own."""


_KINDS = MappingProxyType(
    {
        400: FailureKind.REFUSED,
        401: FailureKind.UNAUTHORISED,
        403: FailureKind.UNAUTHORISED,
        404: FailureKind.REFUSED,
        408: FailureKind.TIMEOUT,
        429: FailureKind.RATE_LIMITED,
    }
)


class _Direct:
    """Straight to an endpoint that speaks OpenAI's protocol. Text only."""

    def __init__(self, model: str, num_retries: int, options: Mapping[str, Any]) -> None:
        rest = dict(options)
        provider, slash, name = model.partition("/")
        base = rest.pop("api_base", None) or rest.pop("base_url", None)
        known = ENDPOINTS.get(provider if slash else "openai")
        if known is None and base is None:
            raise Misconfigured(
                "model",
                f"{model!r} is not served by {', '.join(ENDPOINTS)}: install litellm (pip install litellm), "
                "or give api_base, or pass a callable",
            )
        key = rest.pop("api_key", None) or (os.environ.get(known.key) if known else None)
        base = base or os.environ.get(f"{provider.upper()}_API_BASE" if slash else "OPENAI_API_BASE")
        self._retry = RetryPolicy(attempts=num_retries + 1)
        self._loop = _Loop()
        self._chat = ChatModel(
            base or (known.base_url if known else ""),
            name if slash and known else model,
            key,
            timeout=float(rest.pop("timeout", 300.0)),
            temperature=rest.pop("temperature", None),
            max_tokens=rest.pop("max_tokens", None),
            extra=rest,
        )
        self._end = weakref.finalize(self, _ended, self._loop, self._chat)

    def close(self) -> None:
        self._end()

    def complete(self, messages: Messages, options: Mapping[str, Any]) -> _Answer:
        if any(not isinstance(message.get("content"), str) for message in messages):
            raise Misconfigured("messages", "images need litellm: pip install litellm")

        async def ask() -> _Answer:
            done = await retrying(
                lambda attempt: self._chat.complete(messages),
                self._retry,
                sleep=asyncio.sleep,
                rng=random.Random(),
            )
            return _Answer(done.text, done.finish_reason, done.usage)

        return self._loop.run(ask())


def _ended(loop: _Loop, chat: ChatModel) -> None:
    loop.close(chat.aclose())


class _Loop:
    """An event loop in a thread of its own, so that blocking callers may stand in a loop themselves."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="paretune-lm", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Runs `last` and ends the thread."""
        if threading.current_thread() is self._thread:  # let go of by the loop itself: nobody can wait
            self._loop.create_task(last).add_done_callback(lambda done: self._loop.stop())
            return
        self.run(last)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def failure_of(error: Exception, kind: FailureKind) -> AttemptFailed:
    """An AttemptFailed as it is, anything else as one of this kind."""
    if isinstance(error, AttemptFailed):
        return error
    return AttemptFailed(kind, f"{type(error).__name__}: {error}")
