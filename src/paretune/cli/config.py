"""`paretune config`: what a job document says, before anything is asked of anybody."""

from __future__ import annotations

from typing import Annotated

import typer

from paretune.cli.options import JobFile, Json

app = typer.Typer(no_args_is_help=True, help="Job documents.")


@app.callback()
def options() -> None:
    """Job documents."""


@app.command("check")
def check(
    file: JobFile,
    json: Json = False,
    given: Annotated[bool, typer.Option("--given", help="Leave out what is by default")] = False,
) -> None:
    """Explain a job document: each value and its source, all mistakes, and what is not available yet."""
    from paretune.cli.check import print_check

    print_check(file, json=json, given=given)
