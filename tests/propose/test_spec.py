"""System specifications: what is read from files of each kind, and what of it fits."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.errors import Misconfigured
from paretune.propose.guards import estimated_tokens
from paretune.propose.spec import Rule, Specification, load, read

TABLE = {
    "metadata": {"id": "spec.bank", "title": "Bank intents", "version": "1.0.0", "scope": "one message"},
    "principles": [{"id": "P-1", "text": "Never guess.", "rationale": "costs trust"}],
    "rules": [
        {"id": "R-low", "title": "Tone", "priority": 2, "constraints": {"should": ["be brief"]}},
        {
            "id": "R-high",
            "title": "Labels",
            "rationale": "exact match",
            "priority": 9,
            "constraints": {"must": ["answer with a label"], "must_not": ["explain"]},
            "examples": [
                {"kind": "good", "prompt": "lost card", "response": "card_lost", "description": "one label"}
            ],
        },
        {"title": "Nobody weighed this", "text": "Spell labels in small letters."},
    ],
    "glossary": [{"term": "intent", "definition": "what is wanted", "aliases": ["label"]}],
    "changelog": [{"version": "1.0.0"}],
}

MARKDOWN = """\
# Bank intents

Never guess.

## Tone

Priority: 2

Be brief.

## Labels (priority 9)

Answer with a label.

```
## not a heading
```

### Examples

- lost card -> card_lost

### Note

Do not explain.

## Nobody weighed this

Spell labels in small letters.
"""


def test_rules_of_a_table_stand_by_falling_priority() -> None:
    text = read(json.dumps(TABLE), ".json").within(5_000)
    parts = [
        "Bank intents",
        "one message",
        "- Never guess. (costs trust)",
        "## R-high: Labels (priority 9)",
        "(exact match)",
        "- MUST: answer with a label",
        "- MUST NOT: explain",
        "- good: prompt: lost card; response: card_lost (one label)",
        "## R-low: Tone (priority 2)",
        "- SHOULD: be brief",
        "## Nobody weighed this",
        "Spell labels in small letters.",
        "- intent (label): what is wanted",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "changelog" not in text


def test_toml_says_the_same() -> None:
    toml = """
    [metadata]
    title = "Bank intents"
    [[rules]]
    title = "Labels"
    priority = 9
    text = "Answer with a label."
    """
    assert read(toml, ".toml").within(100) == "Bank intents\n\n## Labels (priority 9)\nAnswer with a label."


def test_sections_of_markdown_are_rules() -> None:
    found = read(MARKDOWN, ".md")
    assert found.preamble == "# Bank intents\n\nNever guess."
    assert [rule.priority for rule in found.rules] == [2, 9, None]
    assert found.rules[1].examples == "### Examples\n\n- lost card -> card_lost"
    assert "## not a heading" in found.rules[1].text
    assert found.rules[1].text.endswith("### Note\n\nDo not explain.")


@pytest.mark.parametrize("text", [json.dumps(TABLE), MARKDOWN])
def test_what_the_document_can_leave_out(text: str) -> None:
    found = read(text, ".json" if text.startswith("{") else ".md")
    assert "card_lost" in found.within(5_000)
    assert "card_lost" not in found.within(5_000, examples=False)
    high = found.within(5_000, threshold=3)
    assert "Labels" in high
    assert "Tone" not in high
    assert "Nobody weighed" not in high


def test_the_least_important_goes_first_where_room_is_short() -> None:
    rules = tuple(Rule(f"rule {n} " + 30 * "x", n, f"shown {n} " + 30 * "y") for n in (1, 3, 2))
    found = Specification("about", rules, ("term " + 30 * "z",))
    held = [
        {
            word
            for word in ("rule 1", "rule 2", "rule 3", "shown 1", "shown 2", "shown 3", "term")
            if word in t
        }
        for t in (found.within(tokens) for tokens in (400, 72, 62, 50, 38, 26))
    ]
    assert held[0] == {"rule 1", "rule 2", "rule 3", "shown 1", "shown 2", "shown 3", "term"}
    assert held[-1] == {"rule 2", "rule 3"}
    assert all(less <= more for more, less in pairwise(held))


texts = st.text(max_size=400)


@given(
    st.builds(
        Specification,
        texts,
        st.lists(st.builds(Rule, texts, st.none() | st.integers(0, 10), texts), max_size=5).map(tuple),
        st.lists(texts, max_size=3).map(tuple),
    ),
    st.integers(1, 300),
)
def test_it_never_takes_more_than_its_tokens(found: Specification, tokens: int) -> None:
    assert estimated_tokens(found.within(tokens)) <= tokens


def test_a_rule_that_is_too_long_is_cut_and_not_left_out() -> None:
    text = Specification(rules=(Rule("Begin. " + 2_000 * "x" + " End.", 9),)).within(100)
    assert text.startswith("Begin.")
    assert text.endswith("End.")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("spec.json", "{", "is no specification"),
        ("spec.json", "[]", "no object"),
        ("spec.json", '{"rules": [{"priority": 3}]}', "rules[0] has neither title"),
        (
            "spec.json",
            '{"rules": [{"title": "A", "priority": "high"}]}',
            "rules[0].priority must be a number",
        ),
        ("spec.json", '{"rules": {"a": 1}}', "rules must be a list"),
        ("spec.json", '{"rules": [{"title": "A", "constraints": ["a"]}]}', "rules[0].constraints"),
        ("spec.json", '{"changelog": []}', "holds no rules"),
        ("spec.md", " \n", "holds no rules"),
        ("spec.yaml", "rules: []", "its ending is .yaml"),
        ("spec.json", "[" * 100_000, "is no specification"),
    ],
)
def test_what_cannot_be_read_names_the_field(tmp_path: Path, name: str, text: str, problem: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(Misconfigured) as refused:
        load(path, "gepa.spec_path")
    assert refused.value.field == "gepa.spec_path"
    assert problem in refused.value.problem


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"gepa\.spec_path.*cannot be read"):
        load(tmp_path / "spec.md", "gepa.spec_path")
