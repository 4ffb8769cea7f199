"""All views of a run, in the order in which they are listed."""

from paretune.console.view import View
from paretune.console.views import candidates, coverage, feed, overview

VIEWS: tuple[View, ...] = (
    overview.VIEW,
    candidates.VIEW,
    coverage.VIEW,
    feed.VIEW,
)
