"""What a view is: a part of a run, under an address of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from paretune.console.source import Action
from paretune.core.errors import ParetuneError
from paretune.store import Store
from paretune.views.run_view import RunView


class NoSuchView(ParetuneError):
    """The run has no such candidate, rollout or page. HTTP 404."""


class Links(Protocol):
    """Addresses of views: paths on a server, fragments in a report."""

    def __call__(self, name: str, **params: object) -> str: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A view is asked for: of this run, with the parts of its address and what follows the `?`.

    `state` is the run's status or `interrupted`; `actions` is empty where nothing can be done. `store` is for
    what a RunView does not hold: the texts of single rollouts and proposals.
    """

    run: RunView
    state: str
    store: Store
    to: Links
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    actions: tuple[Action, ...] = ()


def always(_: RunView) -> bool:
    return True


def once(_: RunView) -> Iterable[Mapping[str, str]]:
    """The view has one page."""
    return ({},)


@dataclass(frozen=True, slots=True)
class View:
    """`path` follows the run's address (`candidates/{candidate}`); the template is `{name}.html`.

    `show` gives what the template needs. `key`: the letter that opens it after `g`; those without one are
    reached from others. `pages` are the params of all its pages that belong into a report. Where a run has
    nothing of it (`there`) nobody is led to it.
    """

    name: str
    title: str
    path: str
    show: Callable[[Asked], Mapping[str, Any]]
    key: str = ""
    pages: Callable[[RunView], Iterable[Mapping[str, str]]] = once
    there: Callable[[RunView], bool] = always
