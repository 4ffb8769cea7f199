"""`PolicyOptimizationJob` and what belongs to it."""

from paretune.sdk import (
    Algorithm,
    PolicyOptimizationJob,
    PolicyOptimizationJobConfig,
    PolicyOptimizationResult,
    StreamHandler,
)

__all__ = [
    "Algorithm",
    "PolicyOptimizationJob",
    "PolicyOptimizationJobConfig",
    "PolicyOptimizationResult",
    "StreamHandler",
]
