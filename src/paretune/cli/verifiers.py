"""`paretune verifiers`: rubrics and graphs that jobs name, kept in a store."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paretune.cli.console import as_json, one_line, say
from paretune.cli.options import Json, StorePath
from paretune.core.errors import Misconfigured

if TYPE_CHECKING:
    from paretune.store.verifiers import SqlVerifiers

app = typer.Typer(no_args_is_help=True, help="Rubrics and graphs that jobs are judged by.")


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="TOML or JSON with a rubric or a graph")],
    name: Annotated[str, typer.Option(help="The name by which jobs find it")],
    store: StorePath = None,
) -> None:
    """Register a verifier. One that is known by this name gets another version; nothing is ever changed."""
    from paretune.config.rubrics import VerifierDocument
    from paretune.engine.judging import graph_of

    document = VerifierDocument.from_mapping(_read(file))
    graph_of(document)
    with _verifiers(store, new=True) as verifiers:
        kept = verifiers.add(name, document.kind, document.to_dict())
    say(f"{kept.reference} ({kept.kind}) is {kept.id}")


@app.command("list")
def list_(
    name: Annotated[str, typer.Argument(help="Versions of this one only")] = "",
    store: StorePath = None,
    json: Json = False,
) -> None:
    """All verifiers, the newest version of each first."""
    with _verifiers(store) as verifiers:
        found = verifiers.all(name)
    if json:
        as_json([asdict(one) for one in found])
    for one in [] if json else found:
        say(f"{one.id}  {one.created_at[:19]}  {one.kind:<6}  {one_line(one.reference, 90)}")


@app.command()
def show(
    reference: Annotated[str, typer.Argument(help="Id, NAME or NAME@VERSION")], store: StorePath = None
) -> None:
    """One verifier, as JSON."""
    with _verifiers(store) as verifiers:
        as_json(asdict(verifiers.find(reference)))


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text("utf-8")
        found = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise Misconfigured(str(file), f"cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise Misconfigured(str(file), "must hold a table with a rubric or a graph")
    return found


@contextmanager
def _verifiers(store: str | None, *, new: bool = False) -> Iterator[SqlVerifiers]:
    from paretune.engine.workspace import Workspace
    from paretune.store import open_verifiers

    # The workspace says what is wrong with an address, and makes no file where one is misspelled.
    with Workspace.open(store, new=new) as workspace, closing(open_verifiers(workspace.address)) as verifiers:
        yield verifiers
