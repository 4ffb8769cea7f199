"""Generations, what must be kept of the budget, and when to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from paretune.algorithms.pool import Pool
from paretune.algorithms.settings import GepaSettings
from paretune.core.budget import Ledger
from paretune.core.events import SearchEnded
from paretune.core.example import Splits

STALLED_EPOCHS, STALLED_STEPS = 3, 20
"""Epochs (and steps, at least) in a row that ask for no rollout: the proposer repeats itself, or nothing is
left to learn."""

STEPS = 10
"""A search should have so many steps before rollouts are kept for more than one finalist."""

LiveStop = Callable[[int], SearchEnded | None]
"""Asked before a step that is not on record yet: time, money, tokens."""


def closing_rollouts(splits: Splits, finalists: int = 1) -> int:
    """Rollouts kept for the end: seed and finalists on `select`, seed and best on `test`."""
    return (1 + finalists) * len(splits.select) + 2 * len(splits.test)


def kept_rollouts(splits: Splits, settings: GepaSettings, cap: int | None) -> int:
    """`closing_rollouts` with all finalists, or with one where the cap holds no `STEPS` steps beside them."""
    wanted = closing_rollouts(splits, settings.finalists)
    steps = STEPS * 2 * settings.minibatch_size
    if cap is None or cap - len(splits.pareto) - wanted >= steps:
        return wanted
    return closing_rollouts(splits)


@dataclass(slots=True)
class Schedule:
    """Steps by generation, all from the settings, the splits and the ledger.

    Generation 0 lasts while it has children left and its share of the budget, 1 / (generations + 1),
    holds one more whole step. `later`: rollouts kept for another search after this one. `last_better` is the
    generation of the newest better best, `better_at` its step.
    """

    settings: GepaSettings
    splits: Splits
    ledger: Ledger
    later: int = 0
    last_better: int = 0
    better_at: int = 0
    _zero_until: int = 0
    _moved: tuple[int, int] = (0, 0)

    def generation(self, step: int) -> int:
        """The generation that a step belongs to; 0 is the seed and its first children."""
        if step <= self._zero_until:
            return 0
        return 1 + (step - self._zero_until - 1) // self.settings.children_per_generation

    def due(self, step: int, pool: Pool) -> tuple[str, str] | None:
        """Reason and detail of the stop that applies before this step, if one does."""
        settings, ledger = self.settings, self.ledger
        if self._zero_until == step - 1 < settings.initial_size - 1 and self._zero_has_room():
            self._zero_until = step
        best = pool.members.get(pool.best)
        if best and settings.target is not None and best.mean >= settings.target - settings.epsilon:
            return "target", f"mean {best.mean:.4f} reached {settings.target:g}"
        if ledger.limits.steps is not None and step > ledger.limits.steps:
            return "steps", f"all {ledger.limits.steps} steps are done"
        if self._moved[1] != len(ledger.drawn):
            self._moved = (step, len(ledger.drawn))
        if step - self._moved[0] >= self.stalled_after:
            return "stalled", f"no step of the last {self.stalled_after} asked for a rollout"
        generation = self.generation(step)
        if generation > settings.generations:
            return "generations", f"all {settings.generations} generations are done"
        if settings.patience and generation - self.last_better > settings.patience:
            return "patience", f"no better best in {settings.patience} generations"
        if settings.barren_steps and step - 1 - self.better_at >= settings.barren_steps:
            return "patience", f"no better best in {settings.barren_steps} steps"
        wanted = self._minibatch() + self.closing()
        left = ledger.left()
        if left is not None and left < wanted:
            return "rollouts", f"{left} rollouts left, a step and the end need {wanted}"
        return None

    def better(self, step: int) -> None:
        """There is a better best, or a head or child that may become it."""
        self.last_better, self.better_at = self.generation(step), max(step, self.better_at)

    @property
    def stalled_after(self) -> int:
        """Steps without a rollout after which none is to be expected."""
        return max(STALLED_STEPS, STALLED_EPOCHS * -(-len(self.splits.reflect) // self._minibatch()))

    def closing(self) -> int:
        return kept_rollouts(self.splits, self.settings, self.ledger.limits.rollouts) + self.later

    def keep(self, step: int) -> int:
        """What a full evaluation must leave: the end, and the gates of this generation's other children."""
        if self.generation(step) == 0:
            return self.closing()
        done = (step - self._zero_until - 1) % self.settings.children_per_generation + 1
        others = self.settings.children_per_generation - done
        return self.closing() + others * self._gate_cost()

    def _minibatch(self) -> int:
        return min(self.settings.minibatch_size, len(self.splits.reflect))

    def _gate_cost(self) -> int:
        """Rollouts of one gate at most: the child's, and the parent's unless all examples are shared."""
        return self._minibatch() if self.splits.shared else 2 * self._minibatch()

    def _zero_has_room(self) -> bool:
        cap = self.ledger.limits.rollouts
        if cap is None:
            return True
        share = cap / (self.settings.generations + 1)
        return len(self.ledger.drawn) + self._gate_cost() <= share
