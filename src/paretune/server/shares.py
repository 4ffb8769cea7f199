"""How many rollouts each job may have out, so that all together are never more than the server's number."""

from __future__ import annotations

from collections.abc import Mapping


def shares(wanted: Mapping[str, int], total: int) -> dict[str, int]:
    """The same for all, but nobody more than it wants: what that leaves goes to the others.

    Everybody gets one at least, so more jobs than `total` have as many out as there are jobs.
    """
    left, given = total, dict[str, int]()
    for place, job in enumerate(sorted(wanted, key=lambda job: (wanted[job], job))):
        given[job] = max(1, min(wanted[job], left // (len(wanted) - place)))
        left = max(0, left - given[job])
    return given
