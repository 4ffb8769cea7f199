"""The job document under its public names."""

from paretune.config.document import (
    ContainerConfig,
    PromptLearningConfig,
    ProposerConfig,
    TaskPoolsConfig,
    TerminationConfig,
)
from paretune.config.gepa import (
    GEPAArchiveConfig,
    GEPAConfig,
    GEPAEvaluationConfig,
    GEPAMutationConfig,
    GEPAPipelineConfig,
    GEPAPopulationConfig,
    GEPARolloutConfig,
    GEPARungsConfig,
    GEPATokenConfig,
)
from paretune.config.prompt import MessagePatternConfig, PromptLearningPolicyConfig, PromptPatternConfig
from paretune.config.seeds import SeedRange

__all__ = [
    "ContainerConfig",
    "GEPAArchiveConfig",
    "GEPAConfig",
    "GEPAEvaluationConfig",
    "GEPAMutationConfig",
    "GEPAPipelineConfig",
    "GEPAPopulationConfig",
    "GEPARolloutConfig",
    "GEPARungsConfig",
    "GEPATokenConfig",
    "MessagePatternConfig",
    "PromptLearningConfig",
    "PromptLearningPolicyConfig",
    "PromptPatternConfig",
    "ProposerConfig",
    "SeedRange",
    "TaskPoolsConfig",
    "TerminationConfig",
]
