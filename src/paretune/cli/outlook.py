"""The forecast of a run that is under way, in words."""

from __future__ import annotations

from collections.abc import Callable

from paretune.cli.words import count, duration, money
from paretune.engine.outlook import CAPS, Outlook, Range


def short(cast: Outlook) -> str:
    """For the progress line: what is left, and what it will have cost."""
    if cast.rollouts is None:
        return "no forecast yet"
    parts = []
    if cast.seconds_left is not None:
        parts.append(f"about {duration(cast.seconds_left.likely)} left")
    if cast.proposals is not None and cast.proposals.high:
        parts.append(f"{cast.proposals.likely:.0f} proposals to come")
    if cast.usd is not None and cast.usd.high:
        parts.append(f"{money(cast.usd.likely)} in all")
    return ", ".join(parts)


def full(cast: Outlook) -> str:
    """For `show`: every figure with its range."""
    if cast.rollouts is None:
        return "forecast: not yet, too few steps are done"
    parts = [_ranged(cast.rollouts, count, " rollouts")]
    if cast.tokens is not None and cast.tokens.high:
        parts.append(_ranged(cast.tokens, count, " tokens"))
    if cast.usd is not None and cast.usd.high:
        parts.append(_ranged(cast.usd, money, ""))
    text = f"forecast of the whole run: {', '.join(parts)}"
    if cast.proposals is not None:
        text += f"; still to come {_ranged(cast.proposals, count, ' proposals')}"
    if cast.seconds_left is not None:
        text += f" in {_ranged(cast.seconds_left, duration, '')}"
    return text + (f"; {CAPS[cast.ends_by]} ends it" if cast.ends_by in CAPS else "")


def _ranged(figure: Range, word: Callable[[float], str], unit: str) -> str:
    low, likely, high = word(figure.low), word(figure.likely), word(figure.high)
    return f"{likely}{unit}" + (f" ({low} to {high})" if low != high else "")
