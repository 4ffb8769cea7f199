"""Clients of a paretune server, over HTTP and nothing else.

The classes have the names, arguments and errors that scripts for `synth_ai` know.
"""

from paretune.sdk.client import Offline, OfflineJob, Optimization, SynthClient
from paretune.sdk.connection import Connection
from paretune.sdk.errors import (
    BadAnswer,
    HTTPError,
    InvalidJob,
    NotSubmitted,
    SdkError,
    StillRunning,
    Unreachable,
)
from paretune.sdk.handlers import (
    CallbackHandler,
    CLIHandler,
    JSONHandler,
    StreamHandler,
    StreamMessage,
    StreamType,
)
from paretune.sdk.models import (
    Algorithm,
    PolicyCandidate,
    PolicyCandidatePage,
    PolicyJobStatus,
    PolicyOptimizationResult,
    PollOutcome,
)
from paretune.sdk.policy import PolicyOptimizationJob, PolicyOptimizationJobConfig
from paretune.sdk.prompt_learning import PromptLearningJob, PromptLearningJobConfig, PromptLearningJobPoller

__all__ = [
    "Algorithm",
    "BadAnswer",
    "CLIHandler",
    "CallbackHandler",
    "Connection",
    "HTTPError",
    "InvalidJob",
    "JSONHandler",
    "NotSubmitted",
    "Offline",
    "OfflineJob",
    "Optimization",
    "PolicyCandidate",
    "PolicyCandidatePage",
    "PolicyJobStatus",
    "PolicyOptimizationJob",
    "PolicyOptimizationJobConfig",
    "PolicyOptimizationResult",
    "PollOutcome",
    "PromptLearningJob",
    "PromptLearningJobConfig",
    "PromptLearningJobPoller",
    "SdkError",
    "StillRunning",
    "StreamHandler",
    "StreamMessage",
    "StreamType",
    "SynthClient",
    "Unreachable",
]
