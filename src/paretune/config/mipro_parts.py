"""Tables of `[prompt_learning.mipro]`: how each part of it works."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from paretune.config.base import Count, Natural, Section


class MIPROTPEConfig(Section):
    """The search: so many trials before TPE decides, and so many candidates for each of its choices."""

    n_startup_trials: Natural = 10
    n_ei_candidates: Count = 24


class MIPRODemoConfig(Section):
    """At most so many of the model's own answers in a set of demonstrations, and so many of all in a set."""

    max_bootstrapped_demos: Natural = 4
    max_labeled_demos: Natural = 4


class MIPROGroundingConfig(Section):
    """What whoever writes instructions is told: a summary of the data, the program, tips, what was tried."""

    data: bool = True
    program: bool = True
    tips: bool = True
    history: bool = True


class MIPROMetaUpdateConfig(Section):
    """Further instructions during the search, from what was measured until then; `generate_at_iterations`
    says when, else once in its middle."""

    enabled: bool = True


def _as_table(value: Any) -> Any:
    """What is given as an object becomes the field's own."""
    return value.model_dump(exclude_unset=True) if isinstance(value, Section) else value


TPE = Annotated[MIPROTPEConfig | None, BeforeValidator(_as_table)]
Demo = Annotated[MIPRODemoConfig | None, BeforeValidator(_as_table)]
Grounding = Annotated[MIPROGroundingConfig | None, BeforeValidator(_as_table)]
MetaUpdate = Annotated[MIPROMetaUpdateConfig | None, BeforeValidator(_as_table)]
Parameters = dict[str, Annotated[list[str], Field(min_length=2)]]
