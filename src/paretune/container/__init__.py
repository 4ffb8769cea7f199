"""Task containers: the contract, a client, one written from a function, and a check of anyone's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paretune.container.check import check
from paretune.container.client import ContainerClient
from paretune.container.conformance.findings import Finding, Report
from paretune.container.prompt import Prompt, Result

if TYPE_CHECKING:
    from paretune.container.app import Container

__all__ = ["Container", "ContainerClient", "Finding", "Prompt", "Report", "Result", "check"]


def __getattr__(name: str) -> Any:
    """`Container` brings a web server, so that it is imported by those who serve only."""
    if name == "Container":
        from paretune.container.app import Container

        return Container
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
