"""The container of tests/foreign, whose rollouts take their time: python slow_container.py PORT SECONDS."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

spec = importlib.util.spec_from_file_location(
    "good_http_server", Path(__file__).parents[1] / "tests" / "foreign" / "good_http_server.py"
)
assert spec is not None
assert spec.loader is not None
container: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(container)
at_once = container.rollout


def slowly(body: dict[str, Any]) -> dict[str, Any]:
    time.sleep(float(sys.argv[2]))
    answer: dict[str, Any] = at_once(body)
    return answer


container.rollout = slowly
container.main()
