"""A record whose cells give what the public page shows of its Banking77 run.

The page tells of each candidate how many of 56 training examples it wins, how many of them nobody had won
before, and for those that were evaluated in full the means on a minibatch and on 140 held-out examples. Which
examples these are it does not tell: they are found here, and gates, parents and admissions follow from them
as they would in a run. Frontier, train means, lifts and totals are written down nowhere.

The held-out examples of the page are those that its best candidate was chosen on: the `select` split. They
were rolled out for each candidate as it was admitted, as its tokens say (137 thousand for each of these, 17
thousand for the others), not for the finalists at the end.

1,204 rollouts are 8 minibatches of 28, 5 full evaluations of 56, and 5 times the 140. Here a rollout is paid
once, so a minibatch is a part of its candidate's full evaluation, and the same work is 1,092 distinct
results. The other 112 are the minibatches of the four candidates that passed, drawn anew for the full
evaluation: here they are second draws (`replicate` 1), which count as rollouts and decide nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from paretune.algorithms.settings import GepaSettings
from paretune.core import events
from paretune.core.candidate import Candidate
from paretune.core.example import Example, Split, Splits
from paretune.core.rollout import Answer, Identity, Rollout, RolloutKey, Usage
from paretune.engine.job import Job, split_digests
from paretune.store import Run, StatusSet, Store, Write
from support.recorder import START, Recorder

RUN = "run_20260101T000000000_ba44177a"
TRAIN, HELDOUT, MINIBATCH = 56, 140, 28
POLICY, PROPOSER = "meta-llama/llama-3.1-8b-instruct", "gpt-5.4-mini"
BEFORE = "Classify the user's banking intent. Return the best matching label."
AFTER = (
    "Resolve exact banking intent by preferring specific product/action labels, handling transfers vs card "
    "payments separately, and using borderline rules before returning one label."
)
LABELS = ("card_arrival", "card_payment_fee", "pending_transfer", "top_up_limit", "exchange_rate")
PROPOSAL_TOKENS = Usage(2_000, 400)


@dataclass(frozen=True, slots=True)
class Told:
    """What the page says of a candidate. `tokens`, thousands, are those of the run until it was done with.
    Without `heldout` it was turned down at its gate: of it the minibatch is all there is."""

    adds: int
    wins: int
    tokens: int
    mini: float | None = None
    heldout: float | None = None


PAGE = (
    Told(adds=32, wins=32, tokens=110, heldout=0.679),
    Told(adds=4, wins=16, tokens=128),
    Told(adds=3, wins=27, tokens=270, mini=0.464, heldout=0.586),
    Told(adds=5, wins=30, tokens=405, mini=0.536, heldout=0.586),
    Told(adds=0, wins=15, tokens=422),
    Told(adds=1, wins=19, tokens=439),
    Told(adds=0, wins=10, tokens=456),
    Told(adds=2, wins=33, tokens=596, mini=0.643, heldout=0.700),
    Told(adds=2, wins=35, tokens=731, mini=0.607, heldout=0.729),
)


@dataclass(frozen=True, slots=True)
class Cells:
    """Examples that a candidate wins. `minibatch` are those of its gate, `parent` the place of its parent."""

    won: frozenset[int]
    minibatch: tuple[int, ...] = ()
    parent: int = 0
    heldout: frozenset[int] = frozenset()


def solved(told: Sequence[Told] = PAGE, seed: int = 0) -> list[Cells]:
    """Cells that give these figures. Raises StopIteration where there are none."""
    dice, found = random.Random(seed), list[Cells]()
    for place, one in enumerate(told):
        full = [cells.won for cells, other in zip(found, told, strict=False) if other.heldout]
        anybody = frozenset[int]().union(*(cells.won for cells in found))
        # Won before: by somebody who was admitted, so that what a gate turned down holds cells of its own.
        known = sorted(frozenset[int]().union(*full))
        fresh = dice.sample(sorted(set(range(TRAIN)) - anybody), one.adds)
        won = frozenset([*fresh, *dice.sample(known, one.wins - one.adds)])
        heldout = frozenset(dice.sample(range(HELDOUT), round((one.heldout or 0) * HELDOUT)))
        parent = max((at for at in range(place) if told[at].heldout), key=lambda at: told[at].wins, default=0)
        minibatch = _minibatch(won, found[parent].won, one, dice) if place else ()
        found.append(Cells(won, minibatch, parent, heldout))
    return found


def _minibatch(
    won: frozenset[int], parents: frozenset[int], one: Told, dice: random.Random
) -> tuple[int, ...]:
    """Examples of which the child wins as many as the page says, and its parent one fewer if it passes, as
    many if it is turned down."""
    wins = one.wins if one.mini is None else round(one.mini * MINIBATCH)
    theirs = wins - (one.heldout is not None)
    everybody = frozenset(range(TRAIN))
    groups = [won & parents, won - parents, parents - won, everybody - won - parents]
    splits = ([n, wins - n, theirs - n, MINIBATCH - wins - theirs + n] for n in range(wins + 1))
    sizes = next(sizes for sizes in splits if all(map(_fits, sizes, groups)))
    drawn = [at for group, size in zip(groups, sizes, strict=True) for at in dice.sample(sorted(group), size)]
    return tuple(sorted(drawn))


def _fits(size: int, group: frozenset[int]) -> bool:
    return 0 <= size <= len(group)


def public_sample(store: Store) -> str:
    """The whole run; its id."""
    run = PublicSample()
    store.create_run(run.run)
    for group in run.groups():
        store.commit(RUN, group)
    return RUN


@dataclass(slots=True)
class PublicSample:
    """The run before it has begun; `groups` gives what it commits, a group for each candidate and one for the
    end."""

    run_id: str = RUN
    told: Sequence[Told] = PAGE
    _found: list[Cells] = field(init=False)
    _record: Recorder = field(init=False)

    def __post_init__(self) -> None:
        self._found = solved(self.told)
        self._record = Recorder(self.run_id)

    @property
    def job(self) -> Job:
        train = tuple(Example(f"train-{n:02}", Split.PARETO) for n in range(TRAIN))
        heldout = tuple(Example(f"heldout-{n:03}", Split.SELECT) for n in range(HELDOUT))
        settings = GepaSettings.classic(minibatch_size=MINIBATCH)
        gepa = {"rollout": {"max_concurrent": 28}}
        return Job(
            "Banking77 prompt evolution",
            Candidate({"system": BEFORE}),
            Splits(train, train, heldout),
            Identity("banking77", "1", POLICY),
            replace(settings, finalists=5),
            document={"prompt_learning": {"policy": {"model": POLICY}, "gepa": gepa}},
        )

    @property
    def run(self) -> Run:
        record = {**self.job.record(), "proposer": f"reflect 00000000 {PROPOSER}", "source": {}}
        return Run(self.run_id, self.job.name, START.isoformat(), record, "running")

    def groups(self) -> Iterator[list[Write]]:
        job, record = self.job, self._record
        started = events.RunStarted(
            job=job.digest, seed=0, candidate=job.seed.id, splits=split_digests(job.splits)
        )
        record.decide("start", started)
        means = dict[str, tuple[float, float]]()
        for place in range(len(self.told)):
            child = self._child(place)
            if place:
                self._step(place, child)
            if self.told[place].heldout:
                means[child.id] = self._admit(place, child)
            yield record.take()
        best = max(means, key=lambda who: means[who])
        ended = events.SearchEnded(step=len(self.told) - 1, reason="steps", detail="")
        chosen = events.BestChosen(
            best=best,
            chosen_on="select",
            means={who: heldout for who, (heldout, _) in means.items()},
            pareto_means={who: train for who, (_, train) in means.items()},
        )
        record.decide("ended", ended)
        record.decide("best", chosen)
        record.decide("finish", events.RunFinished(best=best, test={}))
        record.writes.append(StatusSet("succeeded"))
        yield record.take()

    def _child(self, place: int) -> Candidate:
        if not place:
            return self.job.seed
        parent = self._child(self._found[place].parent)
        more = f"{BEFORE} When in doubt between two labels, prefer {LABELS[place % len(LABELS)]}."
        last = place == len(self.told) - 1
        return Candidate({"system": AFTER if last else f"{more} ({place})"}, (parent.id,), place)

    def _step(self, place: int, child: Candidate) -> None:
        """Proposal, minibatch, gate."""
        record, cells, job = self._record, self._found[place], self.job
        parent, won = self._child(cells.parent), self._found[cells.parent].won
        minibatch = [job.splits.pareto[at] for at in cells.minibatch]
        started = events.StepStarted(
            step=place,
            generation=place,
            parent=parent.id,
            targets=["system"],
            minibatch=[example.id for example in minibatch],
        )
        record.decide(f"step/{place}", started)
        key = f"p_{place:032x}"
        body = {"version": 1, "components": dict(child.components), "rationale": ""}
        record.seconds += 4.0
        record.proposal(key, body, PROPOSAL_TOKENS, 4.0)
        proposed = events.ChildProposed(
            step=place,
            child=child.id,
            parents=[parent.id],
            origin="mutation",
            generation=place,
            components=dict(child.components),
            rationale="labels that were mixed up in the minibatch are told apart",
            proposal=key,
        )
        record.decide(f"step/{place}/child", proposed)
        passes = self.told[place].heldout is not None
        spent = self._tokens(place)
        for replicate in range(1 + passes):
            for example, at in zip(minibatch, cells.minibatch, strict=True):
                self._rollout(child, example, at in cells.won, next(spent), replicate)
        before, after = (float(len(who.intersection(cells.minibatch))) for who in (won, cells.won))
        gate = events.GateDecided(
            step=place,
            child=child.id,
            passed=after > before,
            before=before,
            after=after,
            pairs=MINIBATCH,
            reason="better" if after > before else "not_better",
        )
        record.decide(f"step/{place}/gate", gate)

    def _admit(self, place: int, candidate: Candidate) -> tuple[float, float]:
        """Full evaluation and held-out examples, admission; the means on both, held-out first."""
        cells, job = self._found[place], self.job
        drawn = 2 * len(cells.minibatch)
        spent = self._tokens(place, drawn)
        for at, example in enumerate(job.splits.pareto):
            if at not in cells.minibatch:
                self._rollout(candidate, example, at in cells.won, next(spent))
        for at, example in enumerate(job.splits.select):
            self._rollout(candidate, example, at in cells.heldout, next(spent))
        before = [
            cells.won for cells, one in zip(self._found[:place], self.told, strict=False) if one.heldout
        ]
        gained = cells.won - frozenset[int]().union(*before) if before else ()
        mean = len(cells.won) / TRAIN
        admitted = events.CandidateAdmitted(
            step=place,
            candidate=candidate.id,
            parents=list(candidate.parents),
            origin="mutation" if place else "seed",
            generation=place,
            components=dict(candidate.components),
            mean=mean,
            scored=TRAIN,
            failed=0,
            gained=[f"example:{job.splits.pareto[at].id}" for at in sorted(gained)],
            best=all(len(cells.won) > len(won) for won in before),
        )
        self._record.decide(f"step/{place}/admitted" if place else "seed", admitted)
        return len(cells.heldout) / HELDOUT, mean

    def _tokens(self, place: int, start: int = 0) -> Iterator[int]:
        """What each of the candidate's rollouts takes, from that of number `start` on."""
        one, full = self.told[place], self.told[place].heldout is not None
        own = 1_000 * (one.tokens - (self.told[place - 1].tokens if place else 0))
        own -= PROPOSAL_TOKENS.tokens if place else 0
        number = (TRAIN + HELDOUT) * full + (MINIBATCH if place else 0)
        return (own * (at + 1) // number - own * at // number for at in range(start, number))

    def _rollout(
        self, candidate: Candidate, example: Example, won: bool, tokens: int, replicate: int = 0
    ) -> None:
        self._record.seconds += 0.05
        number = int(example.id.rpartition("-")[2])
        right, wrong = LABELS[number % len(LABELS)], LABELS[(number + 1) % len(LABELS)]
        said = right if won else wrong
        answer = Answer(
            float(won),
            feedback="the label is right" if won else f"expected {right}, the answer was {wrong}",
            input=f"customer message {number}",
            output=said,
            expected=right,
            usage=Usage(tokens - 12, 12),
        )
        key = RolloutKey(candidate.id, example.id, example.split, replicate, self.job.identity)
        self._record.rollout(Rollout(key, answer), 0.8)
