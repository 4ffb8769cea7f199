"""The task of `scale` and `memory`, which takes no time, and gepa on it."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from paretune.propose.base import Packet, Proposal

START = "Answer.\n" + "\n".join(f"{place:02}: 0" for place in range(20))


def rewritten(text: str, number: int) -> str:
    """One of the lines with this number: a text that gets better and no longer, edits that do not clash."""
    lines = text.splitlines()
    lines[1 + number % 20] = f"{number % 20:02}: {number}"
    return "\n".join(lines)


@lru_cache(1024)
def _strength(text: str) -> float:
    return sum(float(line.split(": ")[1]) for line in text.splitlines()[1:]) / 40_000


def reward(components: Mapping[str, str], data: Mapping[str, Any]) -> float:
    """Every rewritten line solves each example a little better: all candidates are accepted."""
    return _strength(components["text"]) + (data["seed"] % 7) / 1000


@dataclass(slots=True)
class Stamped:
    """A proposer that takes no time, and notes the CPU time at which each proposal is asked for.

    From one to the next is an iteration. Beside each some fixed work is timed, in `yard`, which is no part of
    it: the machine's own speed changes by a third within a run.
    """

    identity: str = "stamped"
    stamps: list[float] = field(default_factory=list)
    yard: list[float] = field(default_factory=list)

    async def propose(self, packet: Packet) -> Proposal:
        self.stamps.append(time.process_time() - sum(self.yard))
        began = time.thread_time()
        for _ in range(20):
            json.loads(json.dumps(YARD))
        self.yard.append(time.thread_time() - began)
        return Proposal({"text": rewritten(packet.parent.components["text"], len(self.stamps))})

    def growth(self, window: int) -> dict[str, float]:
        """Milliseconds of an iteration in the first and in the last ones, and their ratio, with the machine's
        speed and without it."""
        steps = [later - earlier for earlier, later in itertools.pairwise(self.stamps)]
        first, last = sum(steps[:window]), sum(steps[-window:])
        slower = sum(self.yard[-window:]) / sum(self.yard[:window])
        return {
            f"first_{window}_ms_each": 1000 * first / window,
            f"last_{window}_ms_each": 1000 * last / window,
            f"last_{window}_to_first_{window}_by_the_clock": last / first,
            f"last_{window}_to_first_{window}": last / first / slower,
        }


YARD = {str(number): [number / 7] * 10 for number in range(30)}


def gepa_seconds(accepted: int, validation: int) -> float:
    """CPU seconds of gepa with run_dir and cache on the same task."""
    import gepa
    from gepa import EvaluationBatch
    from gepa.utils.stop_condition import MaxTrackedCandidatesStopper

    class Adapter:
        propose_new_texts: Callable[..., dict[str, str]] | None = None

        def evaluate(self, batch: Any, candidate: Any, capture_traces: bool = False) -> Any:
            scores = [reward(candidate, {"seed": n}) for n in batch]
            return EvaluationBatch(
                outputs=batch, scores=scores, trajectories=batch if capture_traces else None
            )

        def make_reflective_dataset(self, candidate: Any, batch: Any, components: Any) -> Any:
            return {name: [{"Feedback": "more"}] for name in components}

    class Quiet:
        def log(self, *_: Any, **__: Any) -> None: ...

    count = itertools.count(1)
    adapter = Adapter()
    adapter.propose_new_texts = lambda candidate, data, names: {
        "text": rewritten(candidate["text"], next(count))
    }
    with tempfile.TemporaryDirectory() as folder:
        cpu = time.process_time()
        result = gepa.optimize(
            seed_candidate={"text": START},
            trainset=list(range(1_000, 1_030)),
            valset=list(range(validation)),
            adapter=adapter,
            stop_callbacks=MaxTrackedCandidatesStopper(accepted + 1),
            candidate_selection_strategy="current_best",
            run_dir=folder,
            cache_evaluation=True,
            logger=Quiet(),
        )
        taken = time.process_time() - cpu
    assert result.num_candidates == accepted + 1, f"{result.num_candidates} candidates"
    return taken
