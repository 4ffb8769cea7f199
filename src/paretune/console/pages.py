"""Pages as HTML. Texts of models and tasks are escaped wherever they stand: every template is autoescaped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from paretune.console.bounds import between
from paretune.console.view import Asked, View, always
from paretune.console.views import VIEWS
from paretune.core.canonical import finite
from paretune.views.run_view import RunView
from paretune.views.splits import called

BY_NAME: Mapping[str, View] = {view.name: view for view in VIEWS}
LISTED = tuple(view for view in VIEWS if view.key and view.there is always)
"""The views of every run, whatever its algorithm."""
STYLES = ("console.css", "judgement.css", "overview.css", "evidence.css", "trials.css")
"""Style sheets of every page, in their order: what all views share, then those of some."""


def listed(run: RunView) -> list[View]:
    """The views that this run's pages lead to."""
    return [view for view in VIEWS if view.key and view.there(run)]


@dataclass(frozen=True, slots=True)
class Paths:
    """Addresses on a server: `base` is where the console is, `run_id` whose views are meant. Who is
    `signed_in` can sign out."""

    base: str
    run_id: str = ""
    signed_in: bool = False

    def __call__(self, name: str, **params: object) -> str:
        """Of the list of runs (`runs`), a file (`static`), signing in or out (`sign-in`, `sign-out`), an
        action upon this run (`do`), or a view of it."""
        match name:
            case "runs":
                return f"{self.base}/"
            case "static":
                return f"{self.base}/static/{params['file']}"
            case "sign-in" | "sign-out":
                return f"{self.base}/{name}"
            case "do":
                return f"{self.base}/runs/{quote(self.run_id)}/do/{params['action']}"
        path, more = address(name, params)
        return f"{self.base}/runs/{quote(str(params.get('run', self.run_id)))}/{path}{more}"


def address(name: str, params: Mapping[str, object]) -> tuple[str, str]:
    """The view's path with its parts filled in, and the rest as a query."""
    path = BY_NAME[name].path
    parts = {key: quote(str(value), safe="") for key, value in params.items() if f"{{{key}}}" in path}
    rest = {key: str(v) for key, v in params.items() if key not in parts and key != "run" and v is not None}
    return path.format(**parts), f"?{urlencode(rest)}" if rest else ""


def data(value: Any) -> Markup:
    """JSON for a data block in HTML; nothing in it ends the block."""
    text = json.dumps(finite(value), separators=(",", ":"), ensure_ascii=False)
    for sign, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(sign, code)
    return Markup(text)


def score(value: float | None) -> str:
    """`.625`-like figures: three digits, a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def money(value: float | None) -> str:
    return "-" if value is None else f"${value:,.4f}" if value < 1 else f"${value:,.2f}"


def duration(seconds: float | None) -> str:
    """`4 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def chance(p_value: float | None) -> str:
    """`0.03`, `< 0.001`."""
    return "-" if p_value is None else "< 0.001" if p_value < 0.001 else f"{p_value:.2g}"


def with_chance(p_value: float) -> str:
    """`p = 0.03`, `p < 0.001`."""
    told = chance(p_value)
    return f"p {told}" if told.startswith("<") else f"p = {told}"


def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("paretune.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "data": data,
        "score": score,
        "signed": signed,
        "money": money,
        "duration": duration,
        "chance": chance,
        "with_chance": with_chance,
        "split": called,
        "between": between,
    }
    made.globals["styles"] = STYLES
    return made


ENVIRONMENT = environment()


def fragment(view: View, asked: Asked) -> str:
    """The view alone."""
    template = ENVIRONMENT.get_template(f"{view.name}.html")
    return template.render(asked=asked, run=asked.run, to=asked.to, **view.show(asked))


def page(view: View, asked: Asked) -> str:
    """The view in its frame."""
    frame = ENVIRONMENT.get_template("run_frame.html")
    body = Markup(fragment(view, asked))
    return frame.render(
        asked=asked, run=asked.run, to=asked.to, view=view, views=listed(asked.run), body=body
    )


def runs_page(template: str, to: Paths, **told: Any) -> str:
    """A page about several runs."""
    return ENVIRONMENT.get_template(template).render(to=to, **told)
