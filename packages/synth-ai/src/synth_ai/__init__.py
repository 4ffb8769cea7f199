"""Import paths of `synth_ai`, answered by paretune."""

from paretune.sdk import PolicyOptimizationJob, PromptLearningJob, SynthClient

__all__ = ["PolicyOptimizationJob", "PromptLearningJob", "SynthClient"]
