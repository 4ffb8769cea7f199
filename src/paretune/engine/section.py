"""The section of a document that its algorithm reads."""

from __future__ import annotations

from paretune.config import GEPAConfig, MIPROConfig, PromptLearningConfig


def section_of(config: PromptLearningConfig) -> GEPAConfig | MIPROConfig:
    """The algorithm's own; of both, GEPA's."""
    return config.mipro or MIPROConfig() if config.algorithm == "mipro" else config.gepa
