"""All views of a run, in the order in which they are listed."""

from paretune.console.view import View
from paretune.console.views import (
    candidates,
    compare,
    cost,
    coverage,
    errors,
    events,
    export,
    heldout,
    objectives,
    overview,
    pipeline,
)

VIEWS: tuple[View, ...] = (
    overview.VIEW,
    candidates.VIEW,
    coverage.VIEW,
    compare.VIEW,
    objectives.VIEW,
    heldout.VIEW,
    pipeline.VIEW,
    cost.VIEW,
    events.VIEW,
    errors.VIEW,
    export.VIEW,
)
