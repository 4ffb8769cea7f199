"""Demonstrations: their text, and where they stand in a prompt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.demonstrations import NONE, Demonstration, component_of, dump, load, stage_of
from paretune.core.placement import Turn, as_messages, as_text, host_of, with_demonstrations
from paretune.core.textmerge import merge_text

ONE = Demonstration("2 + 2?", "4", "e1")
TWO = Demonstration("3 + 5?", "8", "e2", "labelled")

said = st.text(min_size=1, max_size=20).filter(str.strip)
demonstrations = st.builds(
    Demonstration,
    said | st.dictionaries(st.text(max_size=5), said, min_size=1, max_size=3),
    said,
    st.text(max_size=5),
)


@given(st.lists(demonstrations, max_size=4))
def test_what_is_written_is_read_again(shown: list[Demonstration]) -> None:
    text = dump(shown)
    assert load(text) == tuple(shown)
    assert dump(load(text)) == text
    assert len({hash(one) for one in load(text)} | {hash(one) for one in shown}) == len(set(shown))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "JSON list"),
        ("{}", "JSON list"),
        ("[" * 100_000, "JSON list"),
        ('["a"]', "demonstration 1 must be"),
        ('[{"input": "a", "output": "b"}, {"input": "a"}]', "demonstration 2 must be"),
        ('[{"input": "a", "output": "b", "score": "1"}]', "demonstration 1 must be"),
        ('[{"input": "a", "output": 4}]', "must hold texts"),
        ('[{"input": {"q": 1}, "output": "4"}]', "must hold texts"),
        ('[{"input": {}, "output": "4"}]', "needs an input"),
        ('[{"input": "a", "output": " "}]', "needs an input and an output"),
    ],
)
def test_what_is_none_is_refused_with_what_is_wrong(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        load(text)


def test_edits_of_two_lanes_are_merged_to_canonical_text() -> None:
    three = Demonstration("1 + 1?", "2")
    assert merge_text(dump([ONE]), dump([ONE, TWO]), dump([three, ONE])) == dump([three, ONE, TWO])
    assert merge_text(NONE, dump([ONE]), dump([TWO])) == dump([ONE, TWO])
    assert merge_text(dump([ONE, TWO]), dump([ONE]), dump([TWO])) == NONE


def test_stages_have_demonstrations_of_their_own() -> None:
    assert [stage_of(component_of(stage)) for stage in ("", "search", "a.b")] == ["", "search", "a.b"]


# -- turns ----------------------------------------------------------------------------------------

CHAT = [("system", "system"), ("user", "user"), ("demonstrations", "")]


def chat(user: str, *shown: Demonstration, system: str = "Add.") -> list[tuple[str, str]]:
    components = {"system": system, "user": user, "demonstrations": dump(shown)}
    return [(turn.role, turn.text) for turn in as_messages(CHAT, components, ["demonstrations"])]


def test_each_demonstration_is_put_as_the_candidate_puts_its_question() -> None:
    assert chat("Q: {q}\nA:", ONE, TWO) == [
        ("system", "Add."),
        ("user", "Q: 2 + 2?\nA:"),
        ("assistant", "4"),
        ("user", "Q: 3 + 5?\nA:"),
        ("assistant", "8"),
        ("user", "Q: {q}\nA:"),
    ]
    assert chat("Q: {q}") == [("system", "Add."), ("user", "Q: {q}")]


def test_several_placeholders_are_filled_by_name() -> None:
    fits = Demonstration({"a": "2", "b": "3", "more": "x"}, "5")
    assert chat("{a} + {b}?", fits)[1] == ("user", "2 + 3?")
    assert chat("{a} + {c}?", fits)[1] == ("user", "a: 2\nb: 3\nmore: x")
    assert chat("{a} + {b}?", ONE)[1] == ("user", "2 + 2?")
    assert chat("No holes.", ONE)[2:] == [("user", "2 + 2?"), ("assistant", "4")]


def test_what_would_be_filled_again_is_not_shown() -> None:
    harmless, caught = Demonstration("{other} {", "}"), Demonstration("say {q}", "q")
    assert [text for _, text in chat("{q}", caught, harmless)] == ["Add.", "{other} {", "}", "{q}"]
    assert [text for _, text in chat("{q}", Demonstration("a", "{r}"), system="About {r}.")] == [
        "About {r}.",
        "{q}",
    ]


def test_the_question_is_the_last_message_with_placeholders_of_the_stage() -> None:
    components = {
        "search": "Search {q}",
        "answer": "Answer {q}",
        "end": "Be brief.",
        "search.demonstrations": dump([ONE]),
        "answer.demonstrations": dump([TWO]),
    }
    order = [("search", "user"), ("answer", "user"), ("end", "system")]
    shown = ["search.demonstrations", "answer.demonstrations"]
    assert as_messages(order, components, shown) == [
        Turn("user", "search.demonstrations.1.input", "Search 2 + 2?"),
        Turn("assistant", "search.demonstrations.1.output", "4"),
        Turn("user", "search", "Search {q}"),
        Turn("user", "answer.demonstrations.1.input", "Answer 3 + 5?"),
        Turn("assistant", "answer.demonstrations.1.output", "8"),
        Turn("user", "answer", "Answer {q}"),
        Turn("system", "end", "Be brief."),
    ]


# -- text -----------------------------------------------------------------------------------------


def test_as_text_they_stand_behind_the_instructions_and_before_the_question() -> None:
    shown = "Solved examples:\n\nInput: 2 + 2?\nOutput: 4\n\nInput: 3 + 5?\nOutput: 8"
    assert with_demonstrations("Add.\n", [ONE, TWO]) == f"Add.\n\n{shown}"
    assert with_demonstrations("Add.\nQ: {q}\nA:", [ONE, TWO]) == f"Add.\n\n{shown}\n\nQ: {{q}}\nA:"
    assert with_demonstrations("{q}", [ONE]).endswith("Output: 4\n\n{q}")
    assert with_demonstrations("Add.\n", []) == "Add.\n"


def test_a_program_of_the_container_gets_them_in_a_component_that_it_knows() -> None:
    texts = {"ask": "{q}", "tell": "Add."}
    components = {**texts, "demonstrations": dump([ONE, Demonstration("{q}", "?")])}
    host = host_of("demonstrations", texts)
    assert host == "tell"
    folded = as_text(components, {"demonstrations": host})
    assert folded == {"ask": "{q}", "tell": with_demonstrations("Add.", [ONE])}
    assert host_of("b.demonstrations", {"a": "A", "b": "B"}) == "b"
    assert host_of("demonstrations", {"a": "{x}", "b": "{y}"}) == "a"
