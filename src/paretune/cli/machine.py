"""`--json` of the commands that work on a run: a line of JSON for each thing that is told of it."""

from __future__ import annotations

import dataclasses
from typing import Any

from paretune.cli.console import as_line, note
from paretune.cli.follow import Follower
from paretune.cli.show import as_data, figures
from paretune.engine.run import Watch
from paretune.store import Store
from paretune.views.feed import feed
from paretune.views.headline import Headline
from paretune.views.run_view import RunView


def tell_result(view: RunView) -> None:
    """The last line: all that `paretune show --json` says of the run."""
    as_line("result", {"run_id": view.run.id}, as_data(view))


class Lines(Follower):
    """A line for each line of the feed, and one with the figures whenever they have changed."""

    watch = Watch()

    def __init__(self, store: Store, run_id: str) -> None:
        super().__init__(store, run_id)
        self._who = {"run_id": run_id}
        self._next = len(store.decisions(run_id))
        """Of what earlier sessions decided nothing is told."""
        self._last: dict[str, Any] = {}

    def tell(self, view: RunView, told: Headline) -> None:
        for line in feed(view, self._next):
            what = dataclasses.asdict(line) | {"elapsed": round(view.moments[line.seq].elapsed, 3)}
            what["event"] = what.pop("kind")
            as_line("event", self._who, what)
        self._next = max(self._next, len(view.decisions))
        now = figures(told)
        if now != self._last:
            self._last = now
            as_line("figures", self._who, now)

    def note(self, text: str) -> None:
        note(text)

    def end(self, view: RunView) -> None:
        tell_result(view)
