"""The proposer without a model: what it sees in failures, and that nothing it writes does harm."""

from __future__ import annotations

import ast
import asyncio
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from paretune.core.candidate import Candidate
from paretune.core.rollout import Usage
from paretune.demo import TASKS
from paretune.propose import operators
from paretune.propose.base import Evidence, Packet, Proposal, Surface, Tried
from paretune.propose.guards import Reason, Rejected, check, placeholders
from paretune.propose.operators import WEIGHTS, OperatorProposer
from paretune.propose.operators.diagnosis import Symptom, diagnose, symptoms
from paretune.propose.operators.edits import OPERATORS, Desk, constrain, demonstrate, desk_of, shorten
from paretune.propose.operators.fields import telling_words
from paretune.propose.operators.layout import Demonstration, Layout, read_layout
from paretune.propose.operators.shapes import induce

PARENT = {"system": "You help travellers.", "user": "Which gate?\n\n{notice}"}


def seen(example: str, text: str, said: str, right: str, *, perfect: bool = False) -> Evidence:
    return Evidence(example, float(perfect), perfect, input=text, output=said, expected=right)


GATED = tuple(
    seen(f"gated-{i}", f"Flight {i} to the coast leaves from gate B{i} at noon.", f"Flight {i}", f"B{i}")
    for i in range(3)
)
FURTHER = tuple(
    seen(f"further-{i}", f"Passengers of train {i}, please walk to gate C{i} without delay.", "", f"C{i}")
    for i in range(8)
)


def packet(
    parent: Mapping[str, str] = PARENT,
    evidence: Sequence[Evidence] = GATED,
    examples: Sequence[Evidence] = FURTHER,
    *,
    targets: Sequence[str] | None = None,
    seed: Mapping[str, str] | None = None,
    rejected: Sequence[Tried] = (),
    draw: str = "0/1",
) -> Packet:
    """Placeholders are those of the seed, which is the parent itself if not said."""
    return Packet(
        parent=Candidate(parent),
        targets=tuple(parent) if targets is None else tuple(targets),
        evidence=tuple(evidence),
        surface=Surface({name: placeholders(text) for name, text in (seed or parent).items()}),
        examples=tuple(examples),
        rejected=tuple(rejected),
        draw=draw,
    )


def proposed(packet: Packet) -> Proposal:
    return asyncio.run(OperatorProposer().propose(packet))


def proposed_if_any(packet: Packet) -> Proposal | None:
    """None at the end of ideas, which comes for nothing."""
    try:
        return proposed(packet)
    except Rejected as rejection:
        if (rejection.reason, rejection.usage) != (Reason.NO_IDEA, Usage(cost_usd=0.0)):
            raise
        return None


def guarded(proposal: Proposal, packet: Packet) -> dict[str, str]:
    """The child, past the guards that a run puts before it."""
    return check(proposal, packet, training=[*packet.evidence, *packet.examples])


def demonstrated(texts: Mapping[str, str]) -> Counter[str]:
    layouts = map(read_layout, texts.values())
    return Counter(d.given for layout in layouts for d in layout.demonstrations)


# -- diagnosis ------------------------------------------------------------------------------------

NUMBERS = ["12", "7", "305"]
CODES = ["AB-1234", "QX-9876"]
LABELS = ["yes", "no"] * 3


@pytest.mark.parametrize(
    ("answers", "said", "right", "symptom"),
    [
        (NUMBERS, " \n", "12", Symptom.EMPTY),
        (NUMBERS, "", "", Symptom.EMPTY),
        (NUMBERS, "I'm sorry, but I can't help with that.", "12", Symptom.REFUSES),
        ([], "As an AI, I have no gate.", "", Symptom.REFUSES),
        (NUMBERS, "After some thought, the fare must be 12.", "12", Symptom.BURIED),
        (LABELS, "I would say YES, certainly", "yes", Symptom.BURIED),
        (NUMBERS, "I'm sorry, all I can say is 12", "12", Symptom.BURIED),
        (LABELS, "perhaps", "yes", Symptom.OUTSIDE),
        (LABELS, "nobody knows", "no", Symptom.OUTSIDE),
        (NUMBERS, "14", "12", Symptom.FIELD),
        (NUMBERS, "It is 14 and of that I am quite certain by now", "12", Symptom.FIELD),
        (NUMBERS, "There is much to be said about fares", "12", Symptom.WORDY),
        (["in the north wing", "close to you"], "a b c d e f g h i j", "close to you", Symptom.WORDY),
        (NUMBERS, "twelve", "12", Symptom.FORMAT),
        (NUMBERS, "12.50", "12", Symptom.WRONG),
        (CODES, "ab 1234", "AB-1234", Symptom.FORMAT),
        (LABELS, "no idea", "yes", Symptom.FORMAT),
        (NUMBERS, "120", "12", Symptom.WRONG),
        (LABELS, "No", "yes", Symptom.WRONG),
        ([], "Something", "", Symptom.WRONG),
    ],
)
def test_diagnosis(answers: list[str], said: str, right: str, symptom: Symptom) -> None:
    failure = seen("e", "Seat 14 costs a fare of 12 today.", said, right)
    assert diagnose(failure, induce(answers)) is symptom
    assert symptoms([failure, seen("f", "", "", "", perfect=True)], None).total() == 1


def test_each_symptom_has_edits_made_for_it() -> None:
    assert set(WEIGHTS) == set(Symptom)
    assert all(weights and set(weights) <= set(OPERATORS) for weights in WEIGHTS.values())


# -- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "line", "others"),
    [
        (["12", "-3.5", "1,200"], "number only", ["12 EUR", "twelve", ""]),
        (CODES, "two capital letters, a dash, four digits", ["AB-123", "ab-1234", "AB1234", "x AB-1234"]),
        (["a1", "b2"], "one small letter, one digit", ["A1", "a12"]),
        (["2024-01-31", "1999-12-01"], "YYYY-MM-DD", ["2024-1-31", "31-01-2024"]),
        (["31/12/1999", "01/02/2003"], "DD/MM/YYYY", ["1/2/2003"]),
        (["12/31/1999", "01/02/2003"], "MM/DD/YYYY", ["2003/01/02"]),
        (["31.12.1999", "01.02.2003"], "DD.MM.YYYY", ["31.12.99"]),
        (["2024-13-31", "2024-01-02"], "four digits, a dash, two digits", ["2024"]),
        (LABELS, "one of these and nothing else: no, yes.", ["maybe", "yes and no"]),
    ],
)
def test_shapes_with_a_form(answers: list[str], line: str, others: list[str]) -> None:
    shape = induce([*answers, " "])
    assert shape is not None
    assert line in shape.line
    assert all(shape.matches(f" {answer}\n") for answer in answers)
    assert not any(shape.matches(other) for other in others)
    if shape.find:
        assert all(shape.find.findall(f"({answer}), then") == [answer] for answer in answers)


@pytest.mark.parametrize(
    ("answers", "line"),
    [
        (["left", "right", "up"], "Answer with one word, nothing else."),
        (["1\N{SUPERSCRIPT TWO}", "2\N{SUPERSCRIPT THREE}"], "Answer with one word, nothing else."),
        (["far left", "the very last one"], "Answer with at most four words, nothing else."),
        (["12", "a dozen"], "Answer with at most two words, nothing else."),
        (
            ["It is at the very end of the hall.", "12"],
            "Answer as briefly as you can, without an introduction.",
        ),
    ],
)
def test_shapes_without_a_form(answers: list[str], line: str) -> None:
    shape = induce(answers)
    assert shape is not None
    assert (shape.line, shape.find, shape.labels) == (line, None, ())
    assert not shape.matches(answers[0])


def test_no_answers_have_no_shape() -> None:
    assert induce([]) is None
    assert induce(["", " \n"]) is None


ODD = st.one_of(
    st.text(max_size=12),
    st.from_regex(r"\d{1,4}[-/.: ]\d{1,4}[-/.: ]?\d{0,4}[-/.)]?", fullmatch=True),
    st.text("Aa1\N{ARABIC-INDIC DIGIT ONE}²Ⅷ-{}x.\n", max_size=8),
)


@given(st.lists(ODD, max_size=8).map(lambda answers: answers * 3) | st.lists(ODD, max_size=8))
def test_whatever_is_induced_fits_the_answers(answers: list[str]) -> None:
    shape = induce(answers)
    told = [answer for answer in answers if answer.strip()]
    assert (shape is None) == (not told)
    if shape:
        assert shape.line
        assert all(shape.matches(answer) for answer in told) or not (shape.find or shape.labels)
        telling_words([seen("e", " ".join(answers), "", answer) for answer in answers], shape)


def test_words_beside_the_right_one_and_beside_its_look_alikes() -> None:
    evidence = [
        seen(f"e{i}", f"Coach {i} leaves soon, so pay just {i + 90} here", "", f"{i + 90}") for i in range(3)
    ]
    shape = induce([e.expected for e in evidence])
    assert shape is not None
    near, off = telling_words(evidence, shape)
    assert near == ["here", "just", "pay"]  # `so` stands within three words of both
    assert off == ["coach", "leaves", "soon"]
    assert telling_words(evidence[:1], shape) == ([], [])


# -- layout ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("You help.", Layout("You help.")),
        ("Which?\n\n{x}", Layout("Which?", slots=("x",))),
        ("{x}\n\nWhich?", Layout("Which?", slots=("x",), after=True)),
        ("Which? {x}", Layout("Which?", slots=("x",))),
        ("Which one is meant here, now: {x}", Layout("Which one is meant here, now", slots=("x",))),
        ("Text: {x}\nAnswer:", Layout("", slots=("x",), labelled=True)),
        ("{a}\n{b}\nWhich?", Layout("Which?", slots=("a", "b"), after=True)),
        ("Text: t\nAnswer: a\n\n{x}", Layout("", (Demonstration("t", "a"),), ("x",))),
        # What looks like a demonstration but holds the placeholder is none.
        ("Text: {x}\nAnswer: (one word)", Layout("Answer: (one word)", (), ("x",), "Text: {x}", True)),
        ("Text: t\nAnswer: a, as in {x}", Layout("Text: t", slots=("x",), given="Answer: a, as in {x}")),
        ("Find {x} in this.", Layout("", slots=("x",), given="Find {x} in this.")),
        ("Be kind.\n\nFind {x}.\nSoon.", Layout("Be kind.", slots=("x",), given="Find {x}.\nSoon.")),
        ("Find {x}.\n\nSoon.", Layout("Soon.", slots=("x",), given="Find {x}.", after=True)),
        ("Which? {x}, {y}.", Layout("", slots=("x", "y"), given="Which? {x}, {y}.")),
        ("Which?\n\nNote: {x}", Layout("Which?", slots=("x",), given="Note: {x}")),
        ("Q: {a}\nC: {b}", Layout("", slots=("a", "b"), given="Q: {a}\nC: {b}")),
    ],
)
def test_reading(text: str, layout: Layout) -> None:
    assert read_layout(text) == layout


WORDS = st.text("abcÄß .?!-*#`\"'()[]}<>/\\0159,;", max_size=40)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,11}", fullmatch=True)
LINE = WORDS.map(lambda text: " ".join(text.split())).filter(bool)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    prose = "\n".join(draw(st.lists(WORDS, max_size=4))).strip()
    assume("\n\n\n" not in prose)
    shown = tuple(draw(st.lists(st.builds(Demonstration, LINE, LINE), max_size=3)))
    slots = tuple(draw(st.lists(NAMES, max_size=3, unique=True)))
    after, labelled = draw(st.booleans()), draw(st.booleans())
    return Layout(prose, shown, slots, "", after and bool(slots and prose), labelled and bool(slots))


@given(layouts())
def test_a_layout_is_read_as_it_was_rendered(layout: Layout) -> None:
    assert read_layout(layout.render()) == layout


# -- placeholders ---------------------------------------------------------------------------------

PIECES = st.one_of(
    st.sampled_from(
        [
            "{x}",
            "{y_2}",
            "Find {x} in this.",
            "Text: {x}",
            "Answer: {y_2}",
            "Answer:",
            "{{x}} {{{x}}}",
            '{"key": {x}}',
            "Text: a\nAnswer: b",
            "Question: {x} {y_2}",
            "A rule. Another one! Is it? {x}",
            "- one.\n- two.",
            "```json\n{}\n```",
            "Answer with one of these and nothing else: 1.5, e.g.",
        ]
    ),
    st.text(max_size=12),
    NAMES.map("{{{}}}".format),
)
TEXTS = st.lists(PIECES, min_size=1, max_size=5).flatmap(
    lambda pieces: st.sampled_from(["\n", "\n\n", " ", ""]).map(lambda glue: glue.join(pieces))
)
CANDIDATES = st.lists(TEXTS, min_size=1, max_size=3).map(lambda texts: dict(zip("abc", texts, strict=False)))


def rendered(desk: Desk) -> dict[str, str]:
    return {name: layout.render() for name, layout in desk.layouts.items()}


@given(CANDIDATES, st.lists(st.tuples(st.sampled_from(sorted(OPERATORS)), st.integers(0, 9)), max_size=8))
def test_placeholders_survive_any_sequence_of_edits(
    parent: dict[str, str], steps: list[tuple[str, int]]
) -> None:
    rng, texts, shape = random.Random(0), dict(parent), induce([e.expected for e in FURTHER])
    for operator, which in steps:
        desk = desk_of(packet(texts), shape)
        edits = list(OPERATORS[operator](desk, rng))
        if edits:
            edit = edits[which % len(edits)]
            texts |= {name: layout.render() for name, layout in edit.layouts.items()}
    assert {name: set(placeholders(text)) for name, text in texts.items()} == {
        name: set(placeholders(text)) for name, text in parent.items()
    }


def test_an_edit_keeps_the_lines_and_the_code_of_a_prompt() -> None:
    block = 'Reply so.\n- one.\n- two.\n```json\n{"gate": "A1"}\n```'
    desk = desk_of(packet({"system": block, "user": "{notice}"}), induce(LABELS))
    rng = random.Random(0)
    assert {edit.layouts["system"].prose for edit in constrain(desk, rng) if "system" in edit.layouts} == {
        f"{block}\nAnswer with one of these and nothing else: no, yes.",
        "Answer with one of these and nothing else: no, yes.",
    }
    shorter = {edit.layouts["system"].prose for _ in range(20) for edit in shorten(desk, rng)}
    assert block.replace("\n- two.", "") in shorter


def test_an_old_line_about_the_answer_goes_when_a_new_one_comes() -> None:
    for answers in (["31.12.1999", "01.02.2003"], ["1.5 m", "2.5 m"] * 3, CODES, NUMBERS):
        old = induce(answers)
        assert old is not None
        desk = desk_of(packet({"system": f"Be kind. {old.line} Be brief."}), induce(["left", "right"]))
        first = next(constrain(desk, random.Random(0)))
        assert first.layouts["system"].prose == "Be kind. Be brief. Answer with one word, nothing else."


# -- proposals ------------------------------------------------------------------------------------

ANSWERS = st.one_of(
    st.sampled_from(["12", "1.5", "AB-1234", "2024-01-31", "yes", "", "{x}", "{nobody}", '{"a": 1}']),
    st.sampled_from(["```", "`x`", "Answer: b", "a\nb", "many words " * 9, "Q" * 60]),
    st.text(max_size=6),
)
INPUTS = st.one_of(
    st.sampled_from(
        [
            "",
            "Text: t\nAnswer: a",
            '{"key": "one two three four five six seven eight nine ten"}',
            "{x} and {nobody}",
            "```\nprint()\nends {here",
            "AB-1234, not CD-9999, on 2024-01-31 for 12 or 1.5",
            "a notice of so many words that a copy of it is found by any guard against copies",
        ]
    ),
    st.text(max_size=20),
)


@st.composite
def evidences(draw: st.DrawFn) -> list[Evidence]:
    """Inputs may come twice; else each says its number first, so that none begins another."""
    answers = draw(st.lists(ANSWERS, min_size=1, max_size=3)) if draw(st.booleans()) else None
    found = []
    for i in range(draw(st.integers(0, 10))):
        text, said = draw(INPUTS), draw(ANSWERS)
        right = draw(ANSWERS if answers is None else st.sampled_from(answers))
        text = f"{i} {text}" if len(text) > 20 else text
        found.append(seen(f"e{i}", text, said, right, perfect=draw(st.booleans())))
    return found


@settings(max_examples=60, deadline=None)
@given(
    CANDIDATES, evidences(), st.integers(0, 10), st.lists(st.booleans(), min_size=4, max_size=8), st.data()
)
def test_no_proposal_does_harm(
    parent: dict[str, str], known: list[Evidence], size: int, accepted: list[bool], data: st.DataObject
) -> None:
    """Along a lineage: past the guards, never a repetition, the same again when asked again."""
    targets = data.draw(st.lists(st.sampled_from(sorted(parent)), min_size=1, unique=True))
    gated = {" ".join(e.input.split()) for e in known[:size]}
    seed, rejected = parent, list[Tried]()
    for step, accept in enumerate(accepted):
        asked = packet(
            parent,
            known[:size],
            known[size:],
            targets=targets,
            seed=seed,
            rejected=rejected,
            draw=f"7/{step}",
        )
        proposal = proposed_if_any(asked)
        assert proposed_if_any(asked) == proposal
        if proposal is None:
            return
        child = guarded(proposal, asked)
        assert set(proposal.components) <= set(targets)
        assert all(set(placeholders(seed[name])) <= set(placeholders(text)) for name, text in child.items())
        assert not gated & set(demonstrated(child) - demonstrated(parent))
        if accept:
            parent, rejected = child, []
        else:
            rejected.append(Tried(dict(proposal.components), "not_improved"))


def test_demonstrations_are_declared_and_never_of_the_minibatch() -> None:
    twin = seen("twin", f" {GATED[0].input} ", "", GATED[0].expected)  # the same text under another id
    texts = {e.input: e.example for e in FURTHER}
    declared = 0
    for step in range(40):
        asked = packet(examples=(*FURTHER, twin), draw=f"0/{step}")
        proposal = proposed(asked)
        child = guarded(proposal, asked)
        assert {texts[text] for text in demonstrated(child)} == set(proposal.demonstrations)
        assert not any(e.input in text for text in child.values() for e in GATED)
        if proposal.demonstrations:
            declared += 1
            with pytest.raises(Rejected, match="copied_training_text"):
                guarded(Proposal(proposal.components), asked)
    assert declared > 5


def test_what_the_parent_shows_may_come_up_in_a_later_minibatch() -> None:
    shown = FURTHER[0]
    parent = {"user": f"Text: {shown.input}\nAnswer: {shown.expected}\n\n{{notice}}"}
    for step in range(20):
        asked = packet(parent, FURTHER[:3], FURTHER[3:], draw=f"0/{step}")
        added = demonstrated(guarded(proposed(asked), asked)) - demonstrated(parent)
        assert not {e.input for e in FURTHER[:3]} & set(added)


@pytest.mark.parametrize("text", ['{"gate": {"id": "%s"}}', "`%s` or ```%s```", "```\n%s\n```", "{x} %s {"])
def test_braces_and_backticks_in_examples_do_no_harm(text: str) -> None:
    marked = [
        seen(e.example, text.replace("%s", e.input), e.output, text.replace("%s", e.expected))
        for e in (*GATED, *FURTHER)
    ]
    for step in range(20):
        asked = packet(evidence=marked[:3], examples=marked[3:], draw=f"0/{step}")
        child = guarded(proposed(asked), asked)
        assert placeholders(child["user"]) == ("notice",)
        assert placeholders(child["system"]) == ()


def until_no_idea(asked: Packet) -> Iterator[dict[str, str]]:
    """Every child that is proposed when each is turned down."""
    rejected: list[Tried] = []
    while len(rejected) < 200:
        again = packet(
            asked.parent.components,
            asked.evidence,
            asked.examples,
            targets=asked.targets,
            rejected=rejected,
            draw=f"0/{len(rejected)}",
        )
        proposal = proposed_if_any(again)
        if proposal is None:
            return
        rejected.append(Tried(dict(proposal.components), "not_improved"))
        yield guarded(proposal, again)
    raise AssertionError("it never ends")


BLANK = tuple(Evidence(f"e{i}", float(i % 2), i % 2 == 1) for i in range(4))


@pytest.mark.parametrize(
    ("parent", "targets", "most"),
    [
        (PARENT, ("system", "user"), 100),
        (PARENT, ("system",), 10),
        (PARENT, ("user",), 20),
        ({"only": "Which gate?\n\n{notice}"}, ("only",), 20),
        ({"only": "Tell the gate. Be brief."}, ("only",), 10),
        ({"only": ""}, ("only",), 2),
        ({"a": "One.", "b": "Two. Three.", "c": "{x}\n{y}"}, ("a", "b", "c"), 100),
        ({"a": "One.", "b": "Two. Three.", "c": "{x}\n{y}"}, ("b",), 10),
        ({"a": "Find {x} in this.", "b": "Be kind."}, ("a", "b"), 40),
    ],
)
@pytest.mark.parametrize("evidence", [BLANK, GATED, ()])
def test_it_ends_with_no_idea(
    parent: dict[str, str], targets: tuple[str, ...], most: int, evidence: tuple[Evidence, ...]
) -> None:
    asked = packet(parent, evidence, evidence[:0], targets=targets)
    children = list(until_no_idea(asked))
    assert 1 <= len(children) <= most
    texts = [tuple(child.values()) for child in children]
    assert len({*texts, tuple(parent.values())}) == len(texts) + 1
    assert all(child[name] == parent[name] for child in children for name in parent if name not in targets)


def test_a_sentence_with_a_placeholder_is_kept_whole() -> None:
    children = list(until_no_idea(packet({"only": "Find the gate of {notice} and say it."}, GATED, ())))
    assert children
    assert all("Find the gate of {notice} and say it." in child["only"] for child in children)


def test_labels_of_several_placeholders_are_kept() -> None:
    children = list(until_no_idea(packet({"only": "Memo: {notice}\nYear: {year}"}, GATED, ())))
    assert children
    assert all("Memo: {notice}\nYear: {year}" in child["only"] for child in children)


def test_a_line_of_the_users_own_about_the_answer_stays() -> None:
    desk = desk_of(packet({"system": "Answer in French."}), induce(["left", "right"]))
    first = next(constrain(desk, random.Random(0)))
    assert first.layouts["system"].prose == "Answer in French. Answer with one word, nothing else."


def test_solved_examples_are_unlike_each_other() -> None:
    texts = [f"The gate of flight {i} is A{i}" for i in range(9)] + ["Boarding at once: B7"]
    evidence = tuple(seen(f"e{i}", text, "", text[-2:]) for i, text in enumerate(texts))
    for draw in range(9):
        desk = desk_of(packet({"only": "{notice}"}, evidence[:0], evidence), induce(["A1", "B7"]))
        two = next(e for e in demonstrate(desk, random.Random(draw)) if "2 more" in e.why)
        assert "Boarding at once: B7" in {d.given for d in two.layouts["only"].demonstrations}


def test_a_container_that_reveals_nothing() -> None:
    for step in range(20):
        asked = packet(evidence=BLANK[:2], examples=BLANK[2:], draw=f"0/{step}")
        proposal = proposed(asked)
        guarded(proposal, asked)
        assert proposal.demonstrations == ()
        assert proposal.transcript == {"symptoms": {"empty": 1}, "shape": ""}


def test_the_stream_decides_and_nothing_else() -> None:
    texts = [str(proposed(packet(draw=f"0/{step}")).components) for step in range(10)]
    assert texts == [str(proposed(packet(draw=f"0/{step}")).components) for step in range(10)]
    assert len(set(texts)) > 5


# -- no words of the demo -------------------------------------------------------------------------

FUNCTION_WORDS = {"the", "and", "one", "two", "any", "not", "you", "can", "for", "with", "this"}
"""Words of the language and of no task; those of one or two letters are not looked at."""

_WORD = re.compile(r"[^\W\d_]{3,}(?:'[a-z]+)?")


def words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def demo_words() -> set[str]:
    texts = [
        text
        for task in TASKS.values()
        for e in (*task.train, *task.select, *task.test)
        for text in (e.text, e.answer)
    ]
    seeds = [message.pattern for task in TASKS.values() for message in task.seed_messages]
    return words(" ".join([*texts, *(re.sub(r"\{\w+\}", "", seed) for seed in seeds)]))


def never_in_a_prompt(tree: ast.AST) -> Iterator[ast.AST]:
    """Docstrings; names of edits and symptoms; why an edit was made, why there is none."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant() as docstring):
                yield docstring
            case ast.Dict(keys=keys):
                yield from filter(None, keys)
            case ast.ClassDef(name="Symptom", body=body):
                yield from body
            case ast.Call(func=ast.Name(id="Edit" | "Rejected"), args=[_, why, *_]):
                yield why


def literals(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    left_out = {id(part) for node in never_in_a_prompt(tree) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.value.replace("'?", "'")


def test_no_operator_contains_a_word_of_the_demo() -> None:
    demo = demo_words() - FUNCTION_WORDS
    assert {"money", "invoice", "order", "date", "january"} <= demo
    sources = sorted(Path(operators.__file__).parent.glob("*.py"))
    told = {source.name: set().union(*map(words, literals(source))) for source in sources}
    assert {"answer", "number"} <= told["shapes.py"]
    assert {name: own & demo for name, own in told.items() if own & demo} == {}
