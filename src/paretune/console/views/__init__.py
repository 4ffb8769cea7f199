"""All views of a run, in the order in which they are listed."""

from paretune.console.view import View
from paretune.console.views import (
    candidate,
    candidates,
    compare,
    cost,
    coverage,
    errors,
    events,
    export,
    feed,
    heldout,
    lineage,
    matrix,
    objectives,
    overview,
    pipeline,
    proposal,
    rollout,
)

VIEWS: tuple[View, ...] = (
    overview.VIEW,
    candidates.VIEW,
    coverage.VIEW,
    matrix.VIEW,
    lineage.VIEW,
    compare.VIEW,
    objectives.VIEW,
    heldout.VIEW,
    pipeline.VIEW,
    cost.VIEW,
    events.VIEW,
    errors.VIEW,
    export.VIEW,
    candidate.VIEW,
    rollout.VIEW,
    proposal.VIEW,
    feed.VIEW,
)
