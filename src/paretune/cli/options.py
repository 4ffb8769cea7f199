"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StorePath = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="Store file, a folder that holds one, or postgresql://... Default: .paretune/workspace.sqlite",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text")]
JsonLines = Annotated[
    bool, typer.Option("--json", help="Print a line of JSON for each event, the result last, instead of text")
]
RunId = Annotated[str, typer.Argument(help="Run id, or its beginning; `last` is the newest run")]
TaskUrl = Annotated[
    str | None,
    typer.Option("--task-url", envvar="TASK_APP_URL", help="Address of the task container, over the file's"),
]
MaxCost = Annotated[float | None, typer.Option("--max-cost-usd", min=0, help="Cap on money from now on")]
MaxTokens = Annotated[
    int | None, typer.Option("--max-total-tokens", min=1, help="Cap on the tokens of all roles from now on")
]
MaxPolicyTokens = Annotated[
    int | None, typer.Option("--max-policy-tokens", min=1, help="Cap on the policy's tokens from now on")
]
MaxProposerTokens = Annotated[
    int | None, typer.Option("--max-proposer-tokens", min=1, help="Cap on the proposer's tokens from now on")
]
MaxVerifierTokens = Annotated[
    int | None, typer.Option("--max-verifier-tokens", min=1, help="Cap on the verifier's tokens from now on")
]
MaxSeconds = Annotated[
    float | None, typer.Option("--max-seconds", min=0, help="Cap on active time from now on")
]
JobFile = Annotated[Path, typer.Argument(help="Job document (TOML) with a [prompt_learning] section")]
