"""Typed answers."""

from paretune.sdk import PolicyCandidate, PolicyCandidatePage, PolicyJobStatus, PolicyOptimizationResult

__all__ = ["PolicyCandidate", "PolicyCandidatePage", "PolicyJobStatus", "PolicyOptimizationResult"]
