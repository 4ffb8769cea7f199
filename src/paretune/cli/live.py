"""A run on a terminal, while it works: the figures of its page, and the newest lines of its feed."""

from __future__ import annotations

from collections.abc import Iterator

from paretune.cli.console import note as on_stderr
from paretune.cli.console import out
from paretune.cli.follow import Follower
from paretune.cli.outlook import short
from paretune.cli.panel import NEWEST, Panel, Row, screen
from paretune.cli.progress import queue_words
from paretune.cli.words import clock, count, duration, money
from paretune.console.bounds import between
from paretune.core.statistics import Interval
from paretune.engine.job import Job
from paretune.engine.run import Live, Watch
from paretune.store import Store
from paretune.views.feed import line
from paretune.views.headline import Headline, Scored
from paretune.views.run_view import RunView

ERRORS = 2


class LiveView(Follower):
    """What the record tells is told as of the last look; which calls are out, and the time, as of now."""

    def __init__(self, store: Store, run_id: str, job: Job) -> None:
        super().__init__(store, run_id)
        self._job = job
        self._live: Live | None = None
        self._title = job.name
        self._told: Headline | None = None
        self._feed: list[str] = []
        self._screen = screen(self._panel)

    @property
    def watch(self) -> Watch:
        return Watch(live=self._attach)

    def _attach(self, live: Live) -> None:
        self._live = live

    async def __aenter__(self) -> None:
        await super().__aenter__()
        self._screen.start()

    async def __aexit__(self, *error: object) -> None:
        try:
            await super().__aexit__(*error)
        finally:
            self._screen.transient = error[0] is None  # else no summary follows
            self._screen.stop()

    def tell(self, view: RunView, told: Headline) -> None:
        self._title = f"{view.run.name}  {view.run.id}  {told.state}"
        self._feed, self._told = newest(view), told

    def note(self, text: str) -> None:
        """Above the view, where it stays."""
        out.print(text, style="dim", markup=False) if self._screen.is_started else on_stderr(text)

    def end(self, view: RunView) -> None:
        """The summary is the command's."""

    def _panel(self) -> Panel:
        told = self._told
        if told is None:
            return Panel(f"{self._title}  starting")
        return Panel(self._title, [*scores(told), *self._work(told), *problems(told)], self._feed)

    def _work(self, told: Headline) -> Iterator[Row]:
        live, limits = self._live, told.limits
        calls = [_of(f"{told.rollouts:,}", limits.rollouts, "{:,}")]
        if live and told.state == "running":
            most = self._job.queue.concurrency
            calls += [queue_words(live.evaluator.state, most), f"at most {most} at once"]
        if asked := told.in_flight.get("proposal"):
            calls.append(f"{asked} proposals asked for" if asked > 1 else "a proposal asked for")
        yield Row("rollouts", calls, 8)
        usd = money(told.usd) if told.priced or told.usd else "of unknown price"
        unpriced = "" if told.priced or not told.usd else ", not all priced"
        tokens = _of(count(told.tokens), limits.tokens, "{:,}") + " tokens"
        yield Row("money", [_of(usd, limits.cost_usd, "${:g}") + unpriced, tokens], 5)
        seconds = live.record.elapsed if live else told.seconds
        yield Row("time", [_of(duration(seconds), limits.seconds, "{:g} s"), short(told.outlook)], 7)
        step = f"step {told.step}, generation {told.generation}"
        yield Row("now", [", ".join(told.now) or told.state, step], 4)


def scores(told: Headline) -> Iterator[Row]:
    """Best and seed, what is held out, and the frontier."""
    best = told.best
    if best is None or told.train is None:
        yield Row("best", ["the initial prompt is being measured"], 10)
    else:
        yield Row("best", [f"#{best.index} {best.id}", *_best(told.train)], 10, "bold")
        yield Row("seed", [_mean(told.train.seed), f"on {told.train.seed.n} train examples"], 6)
    if told.heldout is not None:
        split = "selection" if told.heldout.split == "select" else "held-out"
        parts = [*_best(told.heldout), f"seed {_mean(told.heldout.seed)}", f"on {told.heldout.best.n}"]
        yield Row(split, parts, 9, "bold")
    else:
        yield Row("held-out", ["measured at the end" if told.holds_out else "this run holds nothing out"], 2)
    pool = f"{told.candidates} candidate{'' if told.candidates == 1 else 's'} in the pool"
    yield Row("frontier", [f"{told.covered} of {told.examples} train examples solved by somebody", pool], 7)


def problems(told: Headline) -> Iterator[Row]:
    """What was turned down, what was given up, and the worst errors. Nothing of what did not happen."""
    if told.reasons:
        reasons = (f"{number} {reason.replace('_', ' ')}" for reason, number in sorted(told.reasons.items()))
        yield Row("refused", [", ".join(reasons)], 3)
    if told.errors:
        failed = sum(each.attempts for each in told.errors)
        parts = [f"{failed:,} failed calls, {told.given_up:,} rollouts without a result"]
        parts += [
            f"{each.attempts} x {each.role}, {each.kind}: {each.pattern}" for each in told.errors[:ERRORS]
        ]
        yield Row("errors", parts, 5, "yellow")


def newest(view: RunView) -> list[str]:
    """The newest lines of the feed, the newest last, with the run's active time."""
    found: list[str] = []
    for seq in range(len(view.decisions) - 1, -1, -1):
        told = line(view.decisions[seq], view.rows, rollouts=len(view.ledger.drawn))
        if told:
            found.append(f"{clock(view.moments[seq].elapsed):>7}  {told.text}")
        if len(found) == NEWEST:
            break
    return found[::-1]


def _best(scored: Scored) -> list[str]:
    """The mean of the best, and the change where it is not the seed's own."""
    change = scored.change
    if not change.gained and not change.lost:
        return [_mean(scored.best)]
    difference = change.difference
    inside = between(difference, difference=True)
    told = f"{difference.mean:+.3f}" + (f" ({inside})" if inside else "")
    return [_mean(scored.best), f"{told}, p {change.p_value:.2g}"]


def _mean(mean: Interval) -> str:
    inside = between(mean)
    return f"{mean.mean:.3f}" + (f" ({inside})" if inside else "")


def _of(used: str, cap: float | None, form: str) -> str:
    """`612 of 900`; what has no cap stands alone."""
    return used if cap is None else f"{used} of {form.format(cap)}"
