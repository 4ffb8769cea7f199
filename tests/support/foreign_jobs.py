"""Jobs and a scripted model for the containers of tests/foreign."""

from __future__ import annotations

import re

SEEDS_JOB = """
[prompt_learning]
algorithm = "gepa"
task_app_url = "http://127.0.0.1:1"
task_app_api_key = "$ENVIRONMENT_API_KEY"

[prompt_learning.gepa.rollout]
budget = 300
minibatch_size = 6

[prompt_learning.gepa.evaluation]
seeds = {start = 0, end = 40}
test_pool = {start = 60, end = 90}

[prompt_learning.gepa.population]
initial_size = 1
"""

POOLS_JOB = """
[prompt_learning]
algorithm = "gepa"
task_app_url = "http://127.0.0.1:1"
task_app_api_key = "$ENVIRONMENT_API_KEY"

[prompt_learning.task_pools]
reflection = [%s]
pareto = [%s]
test = [%s]

[prompt_learning.gepa.rollout]
budget = 300
minibatch_size = 6

[prompt_learning.gepa.population]
initial_size = 1
"""


def ids(start: int, end: int) -> str:
    return ", ".join(f'"item-{number}"' for number in range(start, end))


EDITED = re.compile(r"## Component (\S+?)(?: \([^\n]*\))?, to be edited\n\n(`{3,})\S*\n(.*?)\n\2", re.DOTALL)


def reflective(prompt: str) -> str:
    """A stand-in for a model that reads feedback: it adds a sentence that the feedback asks for."""
    wanted = dict.fromkeys(re.findall(r"The prompt must say: ([^\n.]+)\.", prompt))
    blocks = []
    for name, _, text in EDITED.findall(prompt):
        fresh = [line for line in wanted if line.lower() not in prompt.split("# Failures")[0].lower()]
        more = f" {fresh[0].capitalize()}." if fresh else ""
        blocks.append(f"```{name}\n{text}{more}\n```")
    return "Better now.\n" + "\n".join(blocks)
