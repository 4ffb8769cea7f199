"""The list of runs: one line each, of those that are known; the others are read in the background."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any
from urllib.parse import urlencode

from paretune.console.paging import whole
from paretune.console.source import Source
from paretune.core.errors import ParetuneError
from paretune.core.statistics import Comparison, Interval
from paretune.engine.outlook import Range
from paretune.store import Run
from paretune.views.intervals import mean_of
from paretune.views.lift import lift_on
from paretune.views.run_view import RunView, read

OVER = ("succeeded", "failed", "cancelled")
STALE_SECONDS = 2.0
"""What is told of a run at work is at most about so old."""
WAIT_SECONDS = 0.3
"""A page waits so long for lines that are not known yet."""
AT_ONCE = 200
"""Lines of one page."""


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Figures:
    """A run's figures. `best` is the best candidate's mean on `split` with its interval, `change` what it
    differs from the seed there: the untouched split if there is one. `trouble`: why nothing is
    known."""

    best: Interval | None = None
    change: Comparison | None = None
    split: str = ""
    improved: bool = False
    rollouts: int = 0
    cap: int | None = None
    usd: float = 0.0
    usd_cap: float | None = None
    unpriced: bool = False
    seconds: float = 0.0
    left: Range | None = None
    failures: int = 0
    trouble: str = ""

    @property
    def failed_share(self) -> float:
        return self.failures / self.rollouts if self.rollouts else 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """A run of the list. `figures` is None while it has not been read."""

    run: Run
    state: str
    figures: Figures | None = None

    @property
    def name(self) -> str:
        return self.run.name or self.run.id


def figures(view: RunView) -> Figures:
    """What the list says of this run."""
    best, limits, spent = view.best, view.ledger.limits, view.ledger.by_role.values()
    lifts = (lift_on(view, best, "best", split) for split in ("test", "select", "pareto")) if best else ()
    lift = next((found for found in lifts if found), None)
    return Figures(
        best=mean_of(view, best.id, lift.split) if best and lift else None,
        change=lift.comparison if lift else None,
        split=lift.split if lift else "",
        improved=best is not None and best.id != view.seed.id,
        rollouts=len(view.ledger.drawn),
        cap=limits.rollouts,
        usd=view.ledger.cost_usd,
        usd_cap=limits.cost_usd,
        unpriced=any(role.unpriced for role in spent),
        seconds=view.elapsed,
        left=None if view.run.status in OVER else view.outlook.seconds_left,
        failures=len(view.failures),
    )


@dataclass(slots=True)
class RunLines:
    """The lines of a source's runs. Safe to ask from any thread; one thread reads what is missing."""

    source: Source
    _kept: dict[str, tuple[object, float, Figures]] = field(default_factory=dict)
    _wanted: dict[str, Run] = field(default_factory=dict)
    _changed: Condition = field(default_factory=Condition)
    _reading: bool = False

    def lines(self) -> Sequence[Line]:
        """All, newest first, with the figures that are known."""
        runs = self.source.runs()
        self._ask_for([run for run, _ in runs])
        with self._changed:
            self._changed.wait_for(lambda: not self._wanted, WAIT_SECONDS)
            known = {run_id: told for run_id, (_, _, told) in self._kept.items()}
        return [Line(run, state, known.get(run.id)) for run, state in runs]

    def line(self, run_id: str) -> Line:
        """This one, with its figures as they stand. Raises UnknownRun."""
        view = self.source.view(run_id)
        return Line(view.run, self.source.state(view.run), figures(view))

    def _ask_for(self, runs: Iterable[Run]) -> None:
        now = time.monotonic()
        with self._changed:
            for run in runs:
                as_of, at, _ = self._kept.get(run.id, (None, 0.0, None))
                stale = run.status == "running" and now - at > STALE_SECONDS
                if stale or as_of != _as_of(run):
                    self._wanted[run.id] = run
            if self._wanted and not self._reading:
                self._reading = True
                Thread(target=self._read_all, daemon=True, name="console-lines").start()

    def _read_all(self) -> None:
        while True:
            with self._changed:
                run = next(iter(self._wanted.values()), None)
                if run is None:
                    self._reading = False
                    return
            told = self._read(run)
            with self._changed:
                self._kept[run.id] = _as_of(run), time.monotonic(), told
                self._wanted.pop(run.id, None)
                self._changed.notify_all()

    def _read(self, run: Run) -> Figures:
        """Runs that are over are read past the source: it keeps views of those that people look at."""
        try:
            over = run.status in OVER
            return figures(read(self.source.store, run.id) if over else self.source.view(run.id))
        except ParetuneError as error:
            return Figures(trouble=str(error))
        except Exception as error:
            logger.exception("%s cannot be read", run.id)
            return Figures(trouble=f"cannot be read: {error!r}")


def _as_of(run: Run) -> object:
    """Changes whenever a run that is not at work may have other figures."""
    return run.status, run.status_detail, repr(run.job.get("limits"))


# -- what is asked of the list ------------------------------------------------------------------------


def _value(line: Line, column: str) -> Any:
    """What the column is sorted by; None if it is not known."""
    told = line.figures
    if column in ("run", "state", "created"):
        return {"run": line.name.casefold(), "state": line.state, "created": line.run.created_at}[column]
    if told is None or told.trouble:
        return None
    match column:
        case "best":
            return told.best and told.best.mean
        case "change":
            return told.change and told.change.difference.mean
        case "p":
            return told.change and told.change.p_value
        case "left":
            return told.left.likely if told.left and line.state == "running" else None
        case _:
            return {"rollouts": told.rollouts, "spent": told.usd, "failed": told.failed_share}[column]


COLUMNS = ("run", "state", "best", "change", "p", "rollouts", "spent", "left", "failed", "created")
RISING = ("run", "state", "p", "left")
"""Columns of which the small values come first when they are chosen."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The part of the list that is asked for. `states` counts all runs by state, `missing` those that are
    still being read."""

    lines: Sequence[Line]
    found: int
    states: Mapping[str, int]
    missing: int
    live: bool
    sort: str
    down: bool
    state: str
    search: str
    page: int
    pages: int

    def link(self, **changes: object) -> str:
        """The same list with other wishes; a change starts at its first page."""
        wishes = {"sort": self.sort, "down": int(self.down), "state": self.state, "q": self.search} | changes
        return "?" + urlencode({name: value for name, value in wishes.items() if value not in ("", None)})

    def by(self, column: str) -> str:
        """Sorted by this column, or the other way round if it is already."""
        return self.link(
            sort=column, down=int(not self.down if column == self.sort else column not in RISING)
        )


def listing(lines: Sequence[Line], query: Mapping[str, str]) -> Listing:
    """Filtered, sorted and paged as the query says; values that are not known come last."""
    sort = query.get("sort", "created")
    sort = sort if sort in COLUMNS else "created"
    down = query.get("down", "1" if sort not in RISING else "0") == "1"
    state, search = query.get("state", ""), query.get("q", "").strip()
    states: dict[str, int] = {}
    for line in lines:
        states[line.state] = states.get(line.state, 0) + 1
    words = search.casefold().split()
    found = [
        line
        for line in lines
        if (not state or line.state == state)
        and all(word in f"{line.run.name} {line.run.id}".casefold() for word in words)
    ]
    known = [line for line in found if _value(line, sort) is not None]
    known.sort(key=lambda line: _value(line, sort), reverse=down)
    ordered = known + [line for line in found if _value(line, sort) is None]
    pages = max(1, -(-len(ordered) // AT_ONCE))
    page = min(max(1, whole(query.get("page", ""), 1)), pages)
    return Listing(
        ordered[(page - 1) * AT_ONCE : page * AT_ONCE],
        len(ordered),
        states,
        sum(line.figures is None for line in lines),
        any(line.state == "running" for line in lines),
        sort,
        down,
        state,
        search,
        page,
        pages,
    )
