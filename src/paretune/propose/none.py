"""The control: a proposer without an idea."""

from __future__ import annotations

from paretune.core.rollout import Usage
from paretune.propose.base import Packet, Proposal
from paretune.propose.guards import Reason, Rejected


class NoProposer:
    """Proposes nothing, so that whatever a run then reports as a gain would be noise."""

    identity = "none/1"

    async def propose(self, packet: Packet) -> Proposal:
        raise Rejected(Reason.NO_IDEA, "proposals are switched off", Usage(cost_usd=0.0))
