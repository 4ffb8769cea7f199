"""`paretune container` and `paretune model`."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import importlib.util
import os
import signal
import sys
import threading
from pathlib import Path

import typer

from paretune.cli.console import as_json, say
from paretune.container import Container
from paretune.container.checking import check
from paretune.core.errors import Misconfigured


def check_container(url: str, api_key_env: str, *, deadline: float, seeds: str, json: bool) -> None:
    """Exit code 1 if the container fails."""
    try:
        chosen = [int(seed) for seed in seeds.split(",") if seed.strip()]
    except ValueError as error:
        raise Misconfigured("--seeds", f"whole numbers with commas between them, not {seeds!r}") from error
    key = os.environ.get(api_key_env) or None
    report = asyncio.run(check(url, key, seeds=chosen, deadline=deadline))
    if json:
        as_json(dataclasses.asdict(report))
    else:
        say(report.render())
    raise typer.Exit(0 if report.ok else 1)


def serve_container(target: str, host: str, port: int) -> None:
    load(target).serve(host=host, port=port)


def load(target: str) -> Container:
    """The Container named by `FILE.py:NAME` or `module:NAME`. Raises Misconfigured."""
    place, _, name = target.partition(":")
    if not name:
        raise Misconfigured("target", f"{target!r} should read FILE.py:NAME or module:NAME")
    if place.endswith(".py"):
        if not Path(place).is_file():
            raise Misconfigured("target", f"no such file: {place}")
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        if spec is None or spec.loader is None:
            raise Misconfigured("target", f"{place} cannot be read as Python")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise Misconfigured(place, f"{type(error).__name__}: {error}") from error
    else:
        sys.path.insert(0, str(Path.cwd()))
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise Misconfigured("target", str(error)) from error
    found = getattr(module, name, None)
    if not isinstance(found, Container):
        raise Misconfigured("target", f"{name!r} in {place} is not a paretune Container")
    return found


def serve_model(port: int, slots: int) -> None:
    from paretune.llm.local import LocalModel

    with LocalModel(port=port, slots=slots) as local:
        say(f"{local.model} at {local.base_url} (interrupt to stop)")
        done = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: done.set())
        try:
            done.wait()
        except KeyboardInterrupt:
            say("stopped")
