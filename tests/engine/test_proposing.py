"""Who writes a job's proposals: by its algorithm and proposer_type, with its specification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paretune.config import PromptLearningConfig
from paretune.core.candidate import Candidate
from paretune.core.errors import Misconfigured
from paretune.engine.proposing import answer_tokens, proposal_price, proposer_model, proposing
from paretune.engine.specs import SPECS, refuse_other_specs
from paretune.propose.base import Evidence, Grounding, Packet, Surface
from support.chat_server import chat_server

SPEC = """\
# The bank

## Tone (priority 2)

Be kind.

## Labels (priority 9)

Answer with a label.

### Examples

- lost card -> card_lost
"""
PACKET = Packet(
    Candidate({"text": "Classify."}),
    ("text",),
    (Evidence("e1", 0.0, False, "lost card", "a card", "card_lost"),),
    Surface(),
    grounding=Grounding(rows=("a row of data",), tip="plain"),
)


def config(section: str, base_url: str = "http://127.0.0.1:9/v1", **settings: Any) -> PromptLearningConfig:
    pools = {"bootstrap_train_seeds": [0], "online_pool": [1]} if section == "mipro" else {}
    proposer = {"base_url": base_url, "model": "writer"}
    return PromptLearningConfig.from_mapping(
        {
            "algorithm": section,
            "task_app_url": "http://127.0.0.1:8001",
            "proposer": proposer,
            section: {**pools, **settings},
        }
    )


async def asked(section: str, environment: dict[str, str] | None = None, **settings: Any) -> list[str]:
    """What a model is asked for one proposal."""
    prompts: list[str] = []

    def script(prompt: str) -> str:
        prompts.append(prompt)
        return "New.\n```\nName the intent.\n```" if "Current texts" in prompt else "Bank rows."

    with chat_server(script) as url:
        async with proposing(config(section, url, **settings), environment or {}) as proposer:
            made = await proposer.propose(PACKET)
    assert made.components == {"text": "Name the intent."}
    return prompts


async def test_gepa_reflects_on_failures_and_mipro_writes_from_the_data() -> None:
    (reflected,) = await asked("gepa", metaprompt="Mend it.")
    assert "# Failures" in reflected
    assert reflected.startswith("Mend it.")
    assert "a row of data" not in reflected
    summed, grounded = await asked("mipro", metaprompt="Write it.")
    assert "a row of data" in summed
    assert "# The data\n\n```\nBank rows.\n```" in grounded
    assert grounded.startswith("Write it.")


@pytest.mark.parametrize("section", ["gepa", "mipro"])
async def test_without_a_model_nothing_is_asked_for_and_nothing_paid(section: str) -> None:
    free = config(section, proposer_type="operators", proposer_output_tokens="FAST")
    async with proposing(free, {}) as proposer:
        assert proposer.identity.startswith("operators")
    assert (proposer_model(free, {}), proposal_price(free, ""), answer_tokens(free)) == ("", 0.0, 0)


@pytest.mark.parametrize("section", ["gepa", "mipro"])
def test_effort_and_answers_are_those_of_the_algorithms_section(section: str) -> None:
    low = config(section, proposer_output_tokens="FAST")
    high = config(section, proposer_effort="HIGH", proposer_output_tokens="SLOW")
    assert (answer_tokens(low), answer_tokens(high), answer_tokens(config(section))) == (10_000, 25_000, None)
    assert 0 < (proposal_price(low, "gpt-4o-mini") or 0) < (proposal_price(high, "gpt-4o-mini") or 0)


@pytest.mark.parametrize("section", ["gepa", "mipro"])
async def test_every_setting_of_the_specification_is_heard(section: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.md"
    path.write_text(SPEC)
    spec: dict[str, Any] = {"proposer_type": "spec", "spec_path": str(path)}
    whole, *others = [
        (await asked(section, **spec, **more))[-1]
        for more in (
            {},
            {"spec_priority_threshold": 5},
            {"spec_include_examples": False},
            {"spec_max_tokens": 20},
        )
    ]
    words = ("Be kind.", "lost card -> card_lost", "Answer with a label.")
    assert whole.index("Answer with a label.") < whole.index("lost card ->") < whole.index("Be kind.")
    assert [[word in prompt for word in words] for prompt in others] == [
        [False, True, True],
        [True, False, True],
        [False, False, True],
    ]


async def test_another_specification_is_another_proposer(tmp_path: Path) -> None:
    path = tmp_path / "spec.md"
    names = set()
    for text in (SPEC, SPEC.replace("kind", "stern")):
        path.write_text(text)
        async with proposing(config("gepa", spec_path=str(path)), {}) as proposer:
            names.add(proposer.identity)
    assert len(names) == 2


# -- which files may be named ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "path", "problem"),
    [
        ("specs", "bank.md", ""),
        ("specs", "../secret.md", "must stay within"),
        ("specs", "/etc/passwd", "must stay within"),
        ("specs", "link.md", "must stay within"),
        ("specs", "none.md", "cannot be read"),
        ("", "bank.md", "no file is read here"),
    ],
)
async def test_where_a_folder_is_set_none_other_is_read(
    tmp_path: Path, folder: str, path: str, problem: str
) -> None:
    (tmp_path / "specs").mkdir()
    for name in ("specs/bank.md", "secret.md"):
        (tmp_path / name).write_text(SPEC)
    (tmp_path / "specs/link.md").symlink_to(tmp_path / "secret.md")
    environment = {SPECS: str(tmp_path / folder) if folder else ""}
    for settings in ({"spec_path": path}, {"judge": {"enabled": True, "spec_path": path}}):
        named = config("mipro", **settings)
        if not problem:
            refuse_other_specs(named, environment)
            continue
        with pytest.raises(Misconfigured, match=problem) as refused:
            refuse_other_specs(named, environment)
        assert refused.value.field.endswith("spec_path")
    told = {"enabled": True, "spec_path": path, "spec_context": "Answer with a label."}
    refuse_other_specs(config("mipro", judge=told), environment)  # the text is there: no file is read
    if problem:
        with pytest.raises(Misconfigured, match=problem):
            await asked("mipro", environment, spec_path=path)
