"""Handlers for `stream_until_complete`."""

from paretune.sdk import (
    CallbackHandler,
    CLIHandler,
    JSONHandler,
    StreamHandler,
    StreamMessage,
    StreamType,
)

__all__ = ["CLIHandler", "CallbackHandler", "JSONHandler", "StreamHandler", "StreamMessage", "StreamType"]
