"""The job document under its public names."""

from paretune.config.adaptive import (
    AdaptiveBatchLevel,
    AdaptiveCurriculumLevel,
    AdaptivePoolConfig,
    GEPAAdaptiveBatchConfig,
    resolve_adaptive_batch_config,
    resolve_adaptive_pool_config,
)
from paretune.config.availability import not_available, refuse_not_available
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
    GEPAModuleConfig,
    GEPAMutationConfig,
    GEPAPipelineConfig,
    GEPAPopulationConfig,
    GEPARolloutConfig,
    GEPARungsConfig,
    GEPATokenConfig,
)
from paretune.config.mipro import (
    MIPROConfig,
    MIPROMetaConfig,
    MIPROModuleConfig,
    MIPROSeedConfig,
    MIPROStageConfig,
)
from paretune.config.mipro_parts import (
    MIPRODemoConfig,
    MIPROGroundingConfig,
    MIPROMetaUpdateConfig,
    MIPROTPEConfig,
)
from paretune.config.policy import PromptLearningPolicyConfig
from paretune.config.prompt import MessagePatternConfig, PromptPatternConfig
from paretune.config.providers import InferenceMode, ProviderName
from paretune.config.proxy import ProxyModelsConfig
from paretune.config.rubrics import CriterionConfig, EdgeConfig, GraphConfig, NodeConfig, RubricConfig
from paretune.config.seeds import SeedRange
from paretune.config.verifier import PromptLearningJudgeConfig, PromptLearningVerifierConfig

__all__ = [
    "AdaptiveBatchLevel",
    "AdaptiveCurriculumLevel",
    "AdaptivePoolConfig",
    "ContainerConfig",
    "CriterionConfig",
    "EdgeConfig",
    "GEPAAdaptiveBatchConfig",
    "GEPAArchiveConfig",
    "GEPAConfig",
    "GEPAEvaluationConfig",
    "GEPAModuleConfig",
    "GEPAMutationConfig",
    "GEPAPipelineConfig",
    "GEPAPopulationConfig",
    "GEPARolloutConfig",
    "GEPARungsConfig",
    "GEPATokenConfig",
    "GraphConfig",
    "InferenceMode",
    "MIPROConfig",
    "MIPRODemoConfig",
    "MIPROGroundingConfig",
    "MIPROMetaConfig",
    "MIPROMetaUpdateConfig",
    "MIPROModuleConfig",
    "MIPROSeedConfig",
    "MIPROStageConfig",
    "MIPROTPEConfig",
    "MessagePatternConfig",
    "NodeConfig",
    "PromptLearningConfig",
    "PromptLearningJudgeConfig",
    "PromptLearningPolicyConfig",
    "PromptLearningVerifierConfig",
    "PromptPatternConfig",
    "ProposerConfig",
    "ProviderName",
    "ProxyModelsConfig",
    "RubricConfig",
    "SeedRange",
    "TaskPoolsConfig",
    "TerminationConfig",
    "not_available",
    "refuse_not_available",
    "resolve_adaptive_batch_config",
    "resolve_adaptive_pool_config",
]
