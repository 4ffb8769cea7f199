"""A run's pages in one file: opened from disk, with the network off."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from markupsafe import Markup

from paretune.console.app import FILES, PLOTLY
from paretune.console.bundle import bundle
from paretune.console.pages import ENVIRONMENT, STYLES, address, fragment, listed
from paretune.console.view import Asked, NoSuchView, View
from paretune.console.views import VIEWS
from paretune.store import Store
from paretune.views.run_view import RunView

MOST_BYTES = 20_000_000
MARGIN_BYTES = 64_000
"""For what stands around the pages."""
MOST_PAGES = 2_000
"""Of one view."""


class Fragments:
    """Addresses within the file."""

    signed_in = False

    def __call__(self, name: str, **params: object) -> str:
        if name in ("runs", "static", "do"):
            return "#/"
        path, more = address(name, params)
        return f"#/{path}{more}"


@dataclass(frozen=True, slots=True)
class Report:
    """`left_out` says in a line each what is not in the file; it is in the file, too."""

    html: bytes
    left_out: tuple[str, ...]


def report(run: RunView, state: str, store: Store, most_bytes: int = MOST_BYTES) -> Report:
    """The report of this run, of at most `most_bytes`."""
    plotly, script = (
        PLOTLY.read_text("utf-8"),
        bundle("report", lambda name: FILES[name].read_text("utf-8")),
    )
    style = "\n".join(FILES[name].read_text("utf-8") for name in STYLES)
    fixed = sum(len(text.encode()) for text in (plotly, script, style)) + MARGIN_BYTES
    pages = _Pages(run, state, store, most_bytes - fixed)
    views = sorted((view for view in VIEWS if view.there(run)), key=lambda view: not view.key)
    for _ in range(2):  # what some need less of is for the others
        for number, view in enumerate(views):
            pages.add(view, pages.room // (len(views) - number))
    left_out = (*pages.left_out(views), *_never(run))
    html = ENVIRONMENT.get_template("report.html").render(
        run=run,
        state=state,
        to=Fragments(),
        views=listed(run),
        left_out=left_out,
        policy=_policy(plotly, script),
        pages=Markup("\n".join(pages.texts)),
        plotly=Markup(plotly),
        script=Markup(script),
        style=Markup(style),
    )
    return Report(html.encode("utf-8", "replace"), left_out)


@dataclass(slots=True)
class _Pages:
    """Pages as long as there is room for them. The first of each view matter most."""

    run: RunView
    state: str
    store: Store
    room: int
    texts: list[str] = field(default_factory=list)
    _put_of: Counter[str] = field(default_factory=Counter)

    def add(self, view: View, share: int) -> None:
        """The next pages of this view, in about so many bytes; its first in any case."""
        left = self.room - share
        for params in list(view.pages(self.run))[self._put_of[view.name] : MOST_PAGES]:
            if not self._put(view, params, left if self._put_of[view.name] else 0):
                break
            self._put_of[view.name] += 1

    def left_out(self, views: Iterable[View]) -> Iterator[str]:
        for view in views:
            every, put = len(list(view.pages(self.run))), self._put_of[view.name]
            if put < every:
                reason = "they are too many" if put == MOST_PAGES else "the file would be too large"
                yield f"{view.title}: {every - put:,} of {every:,} pages; {reason}"

    def _put(self, view: View, params: Mapping[str, str], left: int) -> bool:
        """False if less than `left` bytes of room would be left."""
        if self.room <= left:
            return False
        path = {name: value for name, value in params.items() if f"{{{name}}}" in view.path}
        query = {name: value for name, value in params.items() if name not in path}
        asked = Asked(self.run, self.state, self.store, Fragments(), path, query)
        try:
            body = fragment(view, asked)
        except NoSuchView:
            return True  # there is nothing to leave out
        here = Fragments()(view.name, **params).removeprefix("#")
        text = Markup('<template data-page="{}">{}</template>').format(here, Markup(body))
        size = len(text.encode("utf-8", "replace"))
        if size > self.room - left:
            return False
        self.room -= size
        self.texts.append(text)
        return True


def _never(run: RunView) -> Iterator[str]:
    """What no report holds."""
    others = sum(candidate not in run.rollouts.told for candidate, _, _ in run.rollouts)
    if others:
        yield f"{others:,} of {len(run.rollouts):,} rollouts in full: all but the seed's and the best's"
    yield "Pages in another order, filtered, or comparing other candidates than those that are linked here"


def _policy(*scripts: str) -> str:
    hashes = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
