"""Task containers: the contract, a client, one written from a function, and a check of anyone's.

Each name is loaded when it is first asked for: the client brings an HTTP library, `Container` a web server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paretune.container.app import Container
    from paretune.container.checking import check
    from paretune.container.client import ContainerClient
    from paretune.container.conformance.findings import Finding, Report
    from paretune.container.prompt import Prompt, Result

__all__ = ["Container", "ContainerClient", "Finding", "Prompt", "Report", "Result", "check"]

_HOMES = {
    "Container": "app",
    "ContainerClient": "client",
    "Finding": "conformance.findings",
    "Prompt": "prompt",
    "Report": "conformance.findings",
    "Result": "prompt",
    "check": "checking",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
