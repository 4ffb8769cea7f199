"""Where a server listens, and where clients look for one, when nobody says otherwise."""

from __future__ import annotations

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
CONSOLE_PORT = 8766
