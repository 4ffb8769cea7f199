"""A small synthetic task, so that every test of the engine knows exactly what should happen.

The text under optimization is a rulebook: one or more components, each a heading and lines such as
`- rule 07` or `- myth 03`. An example is a ticket that needs 0 to 3 rules, each in the component where it
is at home, and that some myths (distractors) break:

* all rules there, no breaking myth: reward 1;
* a breaking myth: reward 0;
* otherwise half of the share of its rules that are there.

A few cells are flaky: they lose half of their reward, always the same cells for the same
seed, text, example and replicate. The feedback of a failed ticket names one missing rule. With
`signal=False` the reward is a coin thrown for the cell, whatever the text says.

Every text that a ticket shows carries a canary, a word that names the ticket's split and nothing else
contains, so that a test can find out who saw it. Components, objectives and traces are deliberately not in
alphabetical order: a record that sorts its keys must not change what a proposer is shown.

Two writers read the hints: `ScriptedModel`, a chat model for the reflective proposer, and `HintProposer`,
which needs no prompt. Both make, now and then, a change that should be turned down.

Everything is a pure function of (seed, text, example, replicate), so two processes agree.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from paretune.core.errors import AttemptFailed
from paretune.core.example import Example, Split, Splits
from paretune.core.rollout import Answer, Usage
from paretune.evaluate.executors import Dispatch
from paretune.llm.chat import Completion
from paretune.propose.base import Packet, Proposal
from paretune.propose.guards import Reason, Rejected

HEADING = "Handle the ticket by these lines."
HINT = re.compile(r"add to <([\w-]+)> the line: (rule \d\d)")
_TO_EDIT = re.compile(
    r"^## Component .*?, to be edited\n\n(`{3,})(\S+)\n(.*?)\n\1$", re.DOTALL | re.MULTILINE
)


def dice(*parts: object) -> random.Random:
    """A random stream that depends on these parts and on nothing else."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return random.Random(hashlib.sha256(text.encode()).digest())


@dataclass(frozen=True, slots=True)
class Ticket:
    """What one example needs, by number, and the myths that break it."""

    needs: tuple[int, ...]
    broken_by: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rulebook:
    """One world. `flaky` is the share of cells that lose half of their reward, `most` the most rules that a
    ticket needs."""

    seed: int = 0
    components: tuple[str, ...] = ("tone",)
    rules: int = 12
    myths: int = 5
    flaky: float = 0.05
    signal: bool = True
    most: int = 3

    def start(self) -> dict[str, str]:
        """The initial texts, without a rule."""
        return dict.fromkeys(self.components, HEADING)

    def splits(
        self, *, reflect: int = 12, pareto: int = 16, select: int = 0, test: int = 0, shared: bool = False
    ) -> Splits:
        """Fresh examples for each split; `shared`: the pareto examples are the ones to reflect on."""
        sizes = {Split.REFLECT: reflect, Split.PARETO: pareto, Split.SELECT: select, Split.TEST: test}
        made = {split: tuple(example(split, i) for i in range(size)) for split, size in sizes.items()}
        return Splits(
            reflect=made[Split.PARETO] if shared else made[Split.REFLECT],
            pareto=made[Split.PARETO],
            select=made[Split.SELECT],
            test=made[Split.TEST],
        )

    def home(self, rule: int) -> str:
        """The component in which this rule counts."""
        return self.components[rule % len(self.components)]

    def ticket(self, example_id: str) -> Ticket:
        rng = dice(self.seed, "ticket", example_id)
        needs = rng.sample(range(self.rules), rng.randint(0, self.most))
        broken_by = [myth for myth in range(self.myths) if rng.random() < 0.3]
        return Ticket(tuple(sorted(needs)), tuple(broken_by))

    def reward(self, texts: Mapping[str, str], example_id: str, replicate: int = 0) -> float:
        rng = dice(self.seed, "cell", dict(texts), example_id, replicate)
        if not self.signal:
            return float(rng.random() < 0.5)
        ticket, missing = self.ticket(example_id), self.missing(texts, example_id)
        if any(f"- myth {m:02d}" in lines(text) for m in ticket.broken_by for text in texts.values()):
            reward = 0.0
        elif missing:
            reward = 0.5 * (1 - len(missing) / len(ticket.needs))
        else:
            reward = 1.0
        return reward / 2 if rng.random() < self.flaky else reward

    def missing(self, texts: Mapping[str, str], example_id: str) -> list[int]:
        """Rules that the ticket needs and that are not at home."""
        needs = self.ticket(example_id).needs
        return [rule for rule in needs if f"- rule {rule:02d}" not in lines(texts[self.home(rule)])]

    def answer(self, texts: Mapping[str, str], data: Mapping[str, str], replicate: int = 0) -> Answer:
        """The rollout of these texts on the ticket in `data` (see `example`)."""
        example_id = data["id"]
        reward = self.reward(texts, example_id, replicate)
        missing = self.missing(texts, example_id)
        secret = canary(data["split"], example_id)
        hint = f"add to <{self.home(missing[0])}> the line: rule {missing[0]:02d}" if missing else "all there"
        size = sum(map(len, texts.values())) // 4
        return Answer(
            reward,
            objectives={"solved": float(reward == 1.0), "brevity": 1 / (1 + size)},
            feedback=f"{secret}f {hint}" if reward < 1 else f"{secret}f right",
            input=f"ticket {secret}i",
            output=f"handled with {len(missing)} gaps {secret}o",
            expected=f"done {secret}e",
            trace={"steps": [{"tool": "look", "arg": f"{secret}t"}], "agent": "clerk"},
            usage=Usage(size + 10, 5, 0.001),
        )


def example(split: Split, number: int) -> Example:
    identity = f"{split.value}-{number:03d}"
    return Example(identity, split, {"id": identity, "split": split.value})


def canary(split: str, example_id: str) -> str:
    """A word that only the texts of this ticket contain."""
    return f"canary-{split}-{hashlib.sha256(example_id.encode()).hexdigest()[:12]}-"


def canaries(examples: Iterable[Example]) -> list[str]:
    return [canary(str(e.data["split"]), e.id) for e in examples]


def lines(text: str) -> list[str]:
    return text.split("\n")


# -- rollouts -------------------------------------------------------------------------------------

Fails = Callable[[Dispatch, int], AttemptFailed | None]
"""The failure of a dispatch, if it is to fail; told how often this one was asked."""


@dataclass(slots=True)
class RulebookExecutor:
    """Rollouts in this process. `calls` counts them by rollout id; answers come in an order of their own.

    `usage` takes the place of the world's own. The cheap policy says what the dear one would, or, with the
    chance of `astray`, something else.
    """

    book: Rulebook
    fails: Fails = lambda dispatch, asked: None
    usage: Usage | None = None
    astray: float = 0.1
    calls: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    most_in_flight: int = 0

    async def run(self, batch: Sequence[Dispatch]) -> list[Answer | AttemptFailed]:
        return [await self._one(dispatch) for dispatch in batch]

    async def _one(self, dispatch: Dispatch) -> Answer | AttemptFailed:
        self.calls[dispatch.rollout_id] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        for _ in range(dice(dispatch.rollout_id).randrange(4)):
            await asyncio.sleep(0)
        self.in_flight -= 1
        failure = self.fails(dispatch, self.calls[dispatch.rollout_id])
        if failure is not None:
            return failure
        request = dispatch.request
        answer = self.book.answer(request.candidate.components, request.example.data, request.replicate)
        if request.tier:
            return self._cheap(dispatch, answer)
        return answer if self.usage is None else replace(answer, usage=self.usage)

    def _cheap(self, dispatch: Dispatch, answer: Answer) -> Answer:
        rng = dice("cheap", dict(dispatch.request.candidate.components), dispatch.request.example.id)
        reward = rng.random() if rng.random() < self.astray else answer.reward
        return replace(answer, reward=reward, feedback="cheap", usage=Usage(10, 5, 0.0001))


# -- proposals ------------------------------------------------------------------------------------


def rewritten(text: str, hints: Sequence[str], rng: random.Random, *, myths: int = 5) -> str:
    """A text with one of the hinted rules, and sometimes a myth, a loss, or nothing new at all."""
    chance = rng.random()
    new = [f"- {rng.choice(hints)}"] if hints and chance < 0.85 else []
    if chance > 0.7:
        new.append(f"- myth {rng.randrange(myths):02d}")
    kept = lines(text)
    if 0.6 < chance < 0.7 and len(kept) > 2:
        kept.pop(rng.randrange(1, len(kept)))
    if chance > 0.95:
        new = []
    return "\n".join([*kept, *(line for line in dict.fromkeys(new) if line not in kept)])


def hints_for(component: str, text: str) -> list[str]:
    """The rules that `text` says are missing in this component, in order."""
    return list(dict.fromkeys(rule for home, rule in HINT.findall(text) if home == component))


@dataclass(slots=True)
class HintProposer:
    """Reads the hints in the packet's evidence. `packets` are all that it was shown."""

    seed: int = 0
    usage: Usage = Usage(200, 50, 0.002)
    packets: list[Packet] = field(default_factory=list)

    @property
    def identity(self) -> str:
        return f"hints/{self.seed}"

    async def propose(self, packet: Packet) -> Proposal:
        self.packets.append(packet)
        told = "\n".join(e.feedback for e in packet.evidence)
        rng = dice(self.seed, packet.draw, dict(packet.parent.components), packet.targets, told)
        if rng.random() < 0.05:
            raise Rejected(Reason.NO_IDEA, "nothing comes to mind", usage=self.usage)
        texts = {
            name: rewritten(packet.parent.components[name], hints_for(name, told), rng)
            for name in packet.targets
        }
        return Proposal(texts, f"for {len(packet.evidence)} tickets", usage=self.usage)


@dataclass(slots=True)
class ScriptedModel:
    """A chat model that reads the reflective proposer's prompt as a model would: the words, nothing else.

    `prompts` are all that it was shown. Now and then it answers without a block.
    """

    seed: int = 0
    usage: Usage = Usage(300, 60, 0.003)
    prompts: list[str] = field(default_factory=list)

    @property
    def identity(self) -> str:
        return f"scripted/{self.seed}"

    async def complete(self, messages: Sequence[Mapping[str, str]]) -> Completion:
        prompt = "\n\n".join(message["content"] for message in messages)
        self.prompts.append(prompt)
        await asyncio.sleep(0)
        rng = dice(self.seed, prompt)
        if rng.random() < 0.05:
            return Completion("I would leave it as it is.", "stop", self.usage)
        blocks = [
            f"```{tag}\n{rewritten(text, hints_for(tag, prompt), rng)}\n```"
            for _, tag, text in _TO_EDIT.findall(prompt)
        ]
        return Completion("\n\n".join(["The hints say what is missing.", *blocks]), "stop", self.usage)
