"""What the landscapes share: the interface that optimizers are driven through, time, noise, reflection.

A landscape is a module with two names.

`World(seed=0, **settings)`; settings are the fields of `Settings`.

* `train`, `val`, `test`: examples with `.id` and `.query`; an optimizer never sees `test`.
* `seed_candidate()`: component name -> text. `ideal_candidate()`: what a reader of the world's laws writes.
* `rollout(candidate, example, sleep=True, replicate=None)`: a `Rollout`, counted in `log`.
* `true_score(candidate, split)`: the mean without noise; sleeps for nothing and counts nothing.
* `log.rollouts`, `stats(wall, concurrency)`: what was asked of the world.

`ReflectionLM(world, sleep=True)`: prompt -> answer, a stand-in for the model that rewrites texts. It reads
the text to be edited and the feedback out of whatever prompt the optimizer rendered, and knows nothing else
of the example. New texts stand in ``` blocks: one, or one tagged with its component's name for each
component whose name the prompt used as such a tag.

Everything is a pure function of (seed, texts, example), so neither order nor threads change a result, with
one exception that is meant: `noise`. `flake` is the share of (candidate, example) cells that fail though the
text is right, always the same ones. `noise` is the chance that one *draw* of a cell is turned over, and a
repeated draw may differ: the replicate's number decides. Who asks may give it; without `replicate` the
world counts, so that the n-th draw of a cell is replicate n, in whatever order other cells are drawn.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import math
import random
import re
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, ClassVar, Generic, TypeVar

Candidate = Mapping[str, str]
Hint = tuple[str, ...]
Prompt = str | Sequence[Mapping[str, Any]]

_SPLITS = ("train", "val", "test")
_NORMAL = NormalDist()


def uniform(*parts: object) -> float:
    """A number in (0, 1) that depends on these parts and on nothing else."""
    text = "\x1f".join(map(str, parts))
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return (number + 0.5) / 2**64


def stream(*parts: object) -> random.Random:
    """A random stream that depends on these parts and on nothing else."""
    return random.Random("\x1f".join(map(str, parts)))


@dataclass(frozen=True)
class Settings:
    """Sizes, noise and times (seconds) of a world. Times matter only where a rollout sleeps."""

    n_train: int = 224
    n_val: int = 56
    n_test: int = 500
    components: int = 1
    flake: float = 0.03
    noise: float = 0.0
    latency_median: float = 0.05
    latency_sigma: float = 0.8
    reflection_latency: float = 0.3
    time_scale: float = 1.0


@dataclass(frozen=True)
class Example:
    """What every example has; landscapes add what it needs."""

    id: str
    query: str


@dataclass(frozen=True)
class Rollout:
    """What an evaluator may pass on to an optimizer, all of it."""

    score: float
    answer: str
    feedback: str
    objectives: Mapping[str, float]
    latency: float


@dataclass
class Log:
    """What was asked of a world."""

    rollouts: int = 0
    reflections: int = 0
    slept: float = 0.0
    reflected: float = 0.0
    in_flight: int = 0
    most_in_flight: int = 0
    draws: Counter[tuple[str, str]] = field(default_factory=Counter)


E = TypeVar("E", bound=Example)

RIGHT = "Right."
UNCLEAR = "Wrong, and nobody can say why."


class Landscape(ABC, Generic[E]):
    """A world without its laws; see the module's docstring."""

    defaults = Settings()

    def __init__(self, seed: int = 0, **settings: Any) -> None:
        self.seed = seed
        self.settings = Settings(**{**self.defaults.__dict__, **settings})
        self.log = Log()
        self._lock = threading.Lock()
        self.lay_out(stream(seed, "laws"))
        sizes = (self.settings.n_train, self.settings.n_val, self.settings.n_test)
        self.train, self.val, self.test = (
            [self.draw_example(split, i, stream(seed, split, i)) for i in range(n)]
            for split, n in zip(_SPLITS, sizes, strict=True)
        )

    # -- the laws, of each landscape its own ---------------------------------------------------------

    @abstractmethod
    def lay_out(self, rng: random.Random) -> None:
        """Draw the laws of this world."""

    @abstractmethod
    def draw_example(self, split: str, number: int, rng: random.Random) -> E: ...

    @abstractmethod
    def component_names(self) -> tuple[str, ...]: ...

    @abstractmethod
    def frame(self, name: str) -> tuple[str, str]:
        """First and last line of a component's text; what is between them counts."""

    @abstractmethod
    def seed_candidate(self) -> dict[str, str]: ...

    @abstractmethod
    def ideal_candidate(self) -> dict[str, str]: ...

    @abstractmethod
    def judge(self, candidate: Candidate, example: E) -> str:
        """What is wrong, one thing only; empty if nothing is."""

    @abstractmethod
    def answer(self, example: E, right: bool) -> str: ...

    @abstractmethod
    def brevity(self, candidate: Candidate) -> float:
        """A second objective, from 0 to 1."""

    # -- rollouts ------------------------------------------------------------------------------------

    def rollout(
        self, candidate: Candidate, example: E, sleep: bool = True, replicate: int | None = None
    ) -> Rollout:
        cell = fingerprint(candidate)
        latency = self._latency(cell, example)
        with self._lock:
            draws = self.log.draws
            number = draws[cell, example.id] if replicate is None else replicate
            draws[cell, example.id] += 1
            self.log.in_flight += 1
            self.log.most_in_flight = max(self.log.most_in_flight, self.log.in_flight)
        if sleep:
            time.sleep(latency * self.settings.time_scale)
        score, feedback = self._noisy(self._outcome(candidate, cell, example), cell, example, number)
        with self._lock:
            self.log.rollouts += 1
            self.log.in_flight -= 1
            self.log.slept += latency * self.settings.time_scale if sleep else 0.0
        objectives = {"accuracy": score, "brevity": self.brevity(candidate)}
        return Rollout(score, self.answer(example, score > 0), feedback, objectives, latency)

    def true_score(self, candidate: Candidate, split: str = "test") -> float:
        cell = fingerprint(candidate)
        examples: list[E] = getattr(self, split)
        return sum(self._outcome(candidate, cell, example)[0] for example in examples) / len(examples)

    def _outcome(self, candidate: Candidate, cell: str, example: E) -> tuple[float, str]:
        complaint = self.judge(candidate, example)
        if complaint:
            return 0.0, complaint
        if uniform(self.seed, "flake", cell, example.id) < self.settings.flake:
            return 0.0, UNCLEAR
        return 1.0, RIGHT

    def _noisy(self, outcome: tuple[float, str], cell: str, example: E, number: int) -> tuple[float, str]:
        if uniform(self.seed, "noise", cell, example.id, number) >= self.settings.noise:
            return outcome
        return (0.0, UNCLEAR) if outcome[0] else (1.0, RIGHT)

    def _latency(self, cell: str, example: E) -> float:
        z = _NORMAL.inv_cdf(uniform(self.seed, "latency", cell, example.id))
        return self.settings.latency_median * math.exp(self.settings.latency_sigma * z)

    # -- reports -------------------------------------------------------------------------------------

    def reflect(self, sleep: bool) -> None:
        """One call of the model that rewrites."""
        seconds = self.settings.reflection_latency * self.settings.time_scale if sleep else 0.0
        time.sleep(seconds)
        with self._lock:
            self.log.reflections += 1
            self.log.reflected += seconds

    def stats(self, wall: float | None = None, concurrency: int = 1) -> dict[str, float]:
        """Counts and seconds; with `wall`, the share of `concurrency` slots that was in use."""
        log = self.log
        told = {
            "rollouts": float(log.rollouts),
            "unique_rollouts": float(len(log.draws)),
            "rollout_latency_sum_s": round(log.slept, 3),
            "reflections": float(log.reflections),
            "reflection_latency_sum_s": round(log.reflected, 3),
            "max_in_flight": float(log.most_in_flight),
        }
        return told | ({"utilization": round(log.slept / (wall * concurrency), 4)} if wall else {})


def fingerprint(candidate: Candidate) -> str:
    text = "\x1e".join(f"{name}\x1f{candidate[name]}" for name in sorted(candidate))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def body(text: str, frame: tuple[str, str]) -> str | None:
    """What stands between the first pair of frame lines; None without them."""
    opening, closing = frame
    _, found, rest = text.partition(opening + "\n")
    inside, closed, _ = rest.partition(closing)
    return inside if found and closed else None


W = TypeVar("W", bound=Landscape[Any])


class Reflection(ABC, Generic[W]):
    """The rewriting model of a landscape: the same texts and complaints always give the same answer.

    `hints` names each kind of complaint and the pattern that finds it in a prompt.
    """

    hints: ClassVar[Mapping[str, re.Pattern[str]]]

    def __init__(self, world: W, sleep: bool = True) -> None:
        self.world = world
        self.sleep = sleep

    @abstractmethod
    def rewrite(
        self, bodies: dict[str, str], complaints: Sequence[Hint], rng: random.Random
    ) -> dict[str, str]:
        """New bodies of these components."""

    def __call__(self, prompt: Prompt) -> str:
        text = _flat(prompt)
        self.world.reflect(self.sleep)
        asked, bodies = self._targets(text)
        complaints = sorted(
            (kind, *match.groups())
            for kind, pattern in self.hints.items()
            for match in pattern.finditer(text)
        )
        rng = stream(self.world.seed, "reflection", sorted(bodies.items()), complaints)
        new = self.rewrite(bodies, complaints, rng)
        blocks = [
            f"```{name if name in asked and len(asked) > 1 else ''}\n{self._framed(name, inside)}\n```"
            for name, inside in new.items()
        ]
        return "I changed what the feedback complains about.\n\n" + "\n\n".join(blocks)

    def _targets(self, text: str) -> tuple[list[str], dict[str, str]]:
        """The components that the prompt wants answered by name, and the bodies to rewrite."""
        names = self.world.component_names()
        found = {name: body(text, self.world.frame(name)) for name in names}
        asked = [
            name for name in names if re.search(rf"^`{{3,}}{re.escape(name)}[ \t]*$", text, re.MULTILINE)
        ]
        if asked:
            return asked, {name: found[name] or "" for name in asked}
        there = [name for name in names if found[name] is not None]
        first = min(there, key=lambda name: text.index(self.world.frame(name)[0]), default=names[0])
        return [], {first: found[first] or ""}

    def _framed(self, name: str, inside: str) -> str:
        opening, closing = self.world.frame(name)
        return f"{opening}\n{inside.rstrip()}\n{closing}" if inside.strip() else f"{opening}\n{closing}"


def _flat(prompt: Prompt) -> str:
    if isinstance(prompt, str):
        return prompt
    texts = []
    for message in prompt:
        content = message["content"]
        texts.append(content if isinstance(content, str) else "\n".join(p.get("text", "") for p in content))
    return "\n".join(texts)


def show(world_of: type[Landscape[Any]], reflection_of: type[Reflection[Any]], worlds: int = 2) -> None:
    """Print what a landscape's initial and ideal texts reach, and what gepa does where it is installed."""
    theirs = importlib.import_module("benchmarks.theirs") if importlib.util.find_spec("gepa") else None
    print("held-out: initial, ideal, gepa's defaults at 2,000 calls")
    for seed in range(worlds):
        world = world_of(seed)
        levels = [world.true_score(c) for c in (world.seed_candidate(), world.ideal_candidate())]
        if theirs:
            found = theirs.run(world, reflection_of(world, sleep=False), theirs.FORMS["default"], budget=2000)
            levels.append(world.true_score(found.best))
        print(f"world {seed}: " + "  ".join(f"{level:.3f}" for level in levels))
