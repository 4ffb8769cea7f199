"""MIPRO's trials as a study of Optuna, in a file that its dashboard opens."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretune.core.errors import ParetuneError
from paretune.views.run_view import RunView
from paretune.views.trials import Combination, Dimension, Option, Trials, has_trials, trials

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

SNIPPET = 40
"""Characters of its text in an option's name."""


def write_study(view: RunView, file: Path) -> int:
    """Write the run's combinations into a new SQLite file; how many there are.

    A combination is one trial of the study, named by the run. Its value is its mean on all training examples
    where it was evaluated in full, and the newest estimate of that mean otherwise (user attribute
    `evaluation`); the estimates after each of its batches are intermediate values, at the number of examples
    behind them. One without any reward failed; one that has not come home is running. Raises ParetuneError
    for a run without trials, and for a file that is there already.
    """
    if not has_trials(view):
        raise ParetuneError(f"{view.run.id} has no trials: it does not search combinations")
    if file.exists():
        raise ParetuneError(f"{file} is there already")
    import optuna

    found = trials(view)
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of each study
    try:
        study = optuna.create_study(
            study_name=view.run.id, storage=f"sqlite:///{file.resolve()}", direction="maximize"
        )
    finally:
        optuna.logging.set_verbosity(before)
    for name, value in _of_study(view, found).items():
        study.set_user_attr(name, value)
    study.add_trials([_trial(view, found, one) for one in found.combinations])
    return len(found.combinations)


def _of_study(view: RunView, found: Trials) -> dict[str, Any]:
    shares = {one.name: one.importance for one in found.dimensions if one.importance is not None}
    return {
        "run": view.run.id,
        "name": view.run.name,
        "best candidate": view.best.id if view.best else "",
        **{f"importance of {name} (main effects)": share for name, share in shares.items()},
        **{
            f"{one.name}: {_name(one, option)}": _text(option)
            for one in found.dimensions
            for option in one.options
        },
    }


def _name(dimension: Dimension, option: Option) -> str:
    """`3: First words of the text`; of demonstrations their number."""
    if dimension.kind == "demonstrations":
        return f"{option.label}: {len(option.shown)} examples"
    first = dimension.options[0].texts
    new = [text for name, text in option.texts.items() if option.number == 0 or text != first[name]]
    words = " ".join(" ".join(new).split())
    return f"{option.label}: {words[:SNIPPET]}{'...' if len(words) > SNIPPET else ''}"


def _text(option: Option) -> str:
    if len(option.texts) == 1:
        return next(iter(option.texts.values()))
    return "\n\n".join(f"[{name}]\n{text}" for name, text in option.texts.items())


def _trial(view: RunView, found: Trials, one: Combination) -> FrozenTrial:
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import TrialState, create_trial

    names = {d.name: [_name(d, option) for option in d.options] for d in found.dimensions}
    chosen = {d.name: d.options[number] for d, number in zip(found.dimensions, one.choice, strict=True)}
    value = one.full if one.full is not None else one.estimate
    out = value is None and not all(trial.ended for trial in one.trials)
    done = TrialState.COMPLETE if value is not None else TrialState.RUNNING if out else TrialState.FAIL
    made = create_trial(
        state=done,
        value=value,
        params={name: names[name][option.number] for name, option in chosen.items()},
        distributions={name: CategoricalDistribution(tuple(told)) for name, told in names.items()},
        user_attrs={
            "candidate": one.candidate,
            "evaluation": "in full" if one.full is not None else "estimate",
            "examples": one.examples,
            "estimate": one.estimate,
            "trials": [trial.number for trial in one.trials],
            **{f"text of {name}": _text(option) for name, option in chosen.items()},
        },
        intermediate_values={t.examples: t.estimate for t in one.trials if t.estimate is not None},
    )
    made.datetime_start, made.datetime_complete = _times(view, one, ended=not out)
    return made


def _times(
    view: RunView, one: Combination, *, ended: bool
) -> tuple[datetime.datetime | None, datetime.datetime | None]:
    """When its first trial began and its last one ended, in local time, as Optuna writes it."""
    at = [
        datetime.datetime.fromisoformat(moment.at).astimezone().replace(tzinfo=None)
        for decision, moment in zip(view.decisions, view.moments, strict=True)
        if getattr(decision, "candidate", None) == one.candidate and moment.at
    ]
    return min(at, default=None), max(at, default=None) if ended else None
