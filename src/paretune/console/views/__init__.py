"""All views of a run, in the order in which they are listed."""

from paretune.console.view import View
from paretune.console.views import (
    candidate,
    candidates,
    coverage,
    feed,
    lineage,
    matrix,
    overview,
    proposal,
    rollout,
)

VIEWS: tuple[View, ...] = (
    overview.VIEW,
    candidates.VIEW,
    coverage.VIEW,
    matrix.VIEW,
    lineage.VIEW,
    candidate.VIEW,
    rollout.VIEW,
    proposal.VIEW,
    feed.VIEW,
)
