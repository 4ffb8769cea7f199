"""All views of a run, in the order in which they are listed."""

from paretune.console.view import View
from paretune.console.views import (
    candidates,
    compare,
    export,
    heldout,
    objectives,
    overview,
)

VIEWS: tuple[View, ...] = (
    overview.VIEW,
    candidates.VIEW,
    compare.VIEW,
    objectives.VIEW,
    heldout.VIEW,
    export.VIEW,
)
