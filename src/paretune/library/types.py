"""The type variables that gepa's protocols are generic in."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

DataId = TypeVar("DataId", bound=Hashable)
"""What an example is addressed by: hashable, the same for as long as the run lasts."""

DataInst = TypeVar("DataInst")
"""One example, opaque to the engine."""

Trajectory = TypeVar("Trajectory")
"""What an adapter captures of one rollout to reflect on, opaque to the engine."""

RolloutOutput = TypeVar("RolloutOutput")
"""What a program answered on one example, opaque to the engine."""
