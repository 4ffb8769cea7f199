"""`PromptLearningJob` and what belongs to it."""

from paretune.sdk import PollOutcome, PromptLearningJob, PromptLearningJobConfig, PromptLearningJobPoller

__all__ = ["PollOutcome", "PromptLearningJob", "PromptLearningJobConfig", "PromptLearningJobPoller"]
