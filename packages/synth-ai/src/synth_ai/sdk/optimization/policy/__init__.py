"""`PolicyOptimizationJob` and what belongs to it."""

from paretune.sdk import PolicyOptimizationJob, PolicyOptimizationJobConfig, PolicyOptimizationResult

__all__ = ["PolicyOptimizationJob", "PolicyOptimizationJobConfig", "PolicyOptimizationResult"]
