"""The merge of texts: tables of edits as proposers make them, and laws over texts with many equal lines.

In the tables `|` is a line break, `old => new` and `old +> more` are edits, ` & ` stands between them.
"""

import json
import re
import time
from collections import Counter
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.textmerge import Clash, Merge, merge_components


def merged(base: str, ours: str, theirs: str) -> str | None:
    result = merge_components({"p": base}, {"p": ours}, {"p": theirs})
    return None if result.components is None else result.components["p"]


def put(text: str, edits: str) -> str:
    for edit in edits.replace("|", "\n").split(" & "):
        old, how, new = re.split(r" (=>|\+>) ?", edit)
        assert old in text
        text = text.replace(old, new if how == "=>" else old + new, 1)
    return text


def check(base: str, ours: str, theirs: str, expected: str | None) -> None:
    """Ours, theirs and the merge as edits of the base."""
    one, other = put(base, ours), put(base, theirs)
    assert merged(base, one, other) == (None if expected is None else put(base, expected))
    assert (merged(base, other, one) is None) == (expected is None)


def written(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


# -- tables ---------------------------------------------------------------------------------------

PROMPT = """\
You sort letters of a bank's customers.

Rules:
- Answer with one label.
- A lost card is card_lost, even if it was stolen.
- If two fit, take the first.

Text: {text}
Label:
"""
SWAP = "Text: {text}|Label: => Label:|Text: {text}"
BOTH = "- If two fit, take the first."


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        # additions at one place: ours, theirs, equal lines once
        ("first. +> |- a b", "first. +> |- c d", "first. +> |- a b|- c d"),
        ("first. +> |- a|- x", "first. +> |- b|- x|- c", "first. +> |- a|- b|- x|- c"),
        ("first. +> |- a|- b", "first. +> |- b|- a", "first. +> |- a|- b"),
        ("first. +> |- a", "first. +> |  - a|- b", "first. +> |- a|- b"),
        ("first. +> |- a", "first. +> |- a|- a", "first. +> |- a|- a"),
        ("Rules => Be brief.||Rules", "Rules => Be kind.||Rules", "Rules => Be brief.||Be kind.||Rules"),
        ("Text => Notes:|- a||Text", "Text => Notes:|- b||Text", "Text => Notes:|- a||- b||Text"),
        ("Text => Rules:|- a||Text", "Text => Rules:|- b||Text", "Text => Rules:|- a||Rules:|- b||Text"),
        ("Label:| +> |Be brief.|", "Label:| +> |So.|", "Label:| +> |Be brief.||So.|"),
        # additions elsewhere, and beside other edits
        ("label. +> |- a", "first. +> |- b", "label. +> |- a & first. +> |- b"),
        ("one label => a label", "label. +> |- a", "one label. => a label.|- a"),
        (f"{BOTH} => No more.", "Text => - a||Text", f"{BOTH} => No more. & Text => - a||Text"),
        ("Rules:| => ", "Rules => Be kind.||Rules", "Rules:| => Be kind.||"),
        # deletions
        ("Rules:| => ", "a bank's => our", "Rules:| => & a bank's => our"),
        ("Rules:| => & a bank's => our", "Rules:| => ", "Rules:| => & a bank's => our"),
        ("Rules:|- Answer with one label.| => ", "Rules:| => ", "Rules:|- Answer with one label.| => "),
        # words
        ("A lost => A missing", "was stolen => was robbed", "A lost => A missing & was stolen => was robbed"),
        ("A lost => A gone & fit => may fit", "A lost => A gone", "A lost => A gone & fit => may fit"),
        ("label. +>  No doubts.", "label. +>  Be kind.", "label. +>  No doubts. Be kind."),
        ("label. +>  Be so. Go.", "label. +>  Go. Do.", "label. +>  Be so. Go. Do."),
        ("label. +>  Never say no.", "label. +>  Say no.", "label. +>  Never say no. Say no."),
        ("one label. => a label. Go.", "label. +>  Do.", "one label. => a label. Go. Do."),
        # the end as ours has it
        ("Label:| +> Be brief.", "Label:| +> Be kind.|", "Label:| +> Be brief.|Be kind."),
        ("Label:| => Label:", "Label:| +> Be kind.", "Label:| +> Be kind."),
        ("Label:| +> |", "first. +> |- a", "first. +> |- a & Label:| +> |"),
        # moves
        (SWAP, "first. +> |- a", f"first. +> |- a & {SWAP}"),
        (SWAP, f"{SWAP} & a bank => our bank", f"{SWAP} & a bank => our bank"),
    ],
)
def test_edits_that_merge(ours: str, theirs: str, expected: str) -> None:
    check(PROMPT, ours, theirs, expected)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (f"{BOTH}| => ", "two fit => both fit"),
        (f"{BOTH} => Go.", f"{BOTH} => No more."),
        (f"{BOTH} => Go.", f"{BOTH} => Go.|No more."),
        ("Rules:|- Answer with one label.| => ", "Rules: +> |- None."),
        ("one label => a label", "one label => some label"),
        ("one label => a label", "label. => word."),
        ("stolen. +>  No doubts", "stolen. +>  Be kind."),
        ("Label: +>  one", "Label: +>  two"),
        (SWAP, "Text: => The text:"),
        (SWAP, "Label: => The label:"),
        (SWAP, "Label: => So:|Label:"),
        (SWAP, "Rules: => Text: {text}|Rules: & |Text: {text}|Label => |Label"),
    ],
)
def test_edits_that_clash(ours: str, theirs: str) -> None:
    check(PROMPT, ours, theirs, None)


LIST = "Rules:\n1. one\n2. two\n3. three\n\nThe format is:\n1. a label\n2. a reason\n"
TWO = "2. two =>    3. a|2. two"
FIRST, NEXT = "1. one|2. two|3. =>", "2. one|3. two|4."
NESTED = "1. one rule\n   1. its case\n   2. its last\n2. two rules\n   1. no case\n3. End."
STEPS = "## 1. Read\nAll of {x}.\n\n## 2. Decide\nAt once.\n"


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        (LIST, "three +> |4. more", "three +> |4. less", "three +> |4. more|5. less"),
        (LIST, f"{FIRST} 1. a|{NEXT}", f"{FIRST} 1. b|{NEXT}", f"{FIRST} 1. a|2. b|3. one|4. two|5."),
        (LIST, f"{FIRST} 1. two|2.", "2. a => 2. b|3. a", f"{FIRST} 1. two|2. & 2. a => 2. b|3. a"),
        (LIST, "The => A", "is: => is so: & 3. +>  a|4.", "The format is: => A format is so: & 3. +>  a|4."),
        (LIST, "2. two => 2. all", f"{FIRST} 1. a|{NEXT}", f"{FIRST} 1. a|2. one|3. all|4."),
        (NESTED, TWO, "no case +> |   2. b", f"{TWO} & no case +> |   2. b"),
        (STEPS, "ce.| +> |## 3. Say|", "## 2. +>  Go||## 3.", "ce.| +> |## 4. Say| & ## 2. +>  Go||## 3."),
        ("In\n2019. was\n", "was +> |2020. too", "was +> |- so", "was +> |2020. too|- so"),
        ("1. a\n3. c", "c +> |- o", "a +> |b", "c +> |- o & a +> |b"),
        ("See 3. and # 4.", "4. +> |x", "See => z|See", "4. +> |x & See => z|See"),
        ("```\n1. a\n1. b\n```\n1. c", "c +> |2. d", "c +> |2. e", "c +> |2. d|3. e"),
        ("1. a\n3. c", "c +> |4. d", "c +> |4. e", None),
    ],
)
def test_numbers_of_lists(base: str, ours: str, theirs: str, expected: str | None) -> None:
    check(base, ours, theirs, expected)


CODE = 'Answer so:\n```json\n{"label": "x"}\n```\nBe brief.'


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ('"x" => "y"', "brief => kind", '"x" => "y" & brief => kind'),
        ("} +> |1", "json| +> 2|", "} +> |1 & json| +> 2|"),
        ("} +> |1", "} +> |1 & brief => kind", "} +> |1 & brief => kind"),
        ("} +> |1", "} +> |2", None),
        ("brief. +> |```|a|```", "brief. +> |```|b|```", "brief. +> |```|a|```|```|b|```"),
        ("brief. +> |```|a|```", "brief. +> |So:|```|a|```", "brief. +> |So:|```|a|```"),
        ("brief. +> |~~~|a", "brief. +> |b", None),
        ("brief. +> |~~~|a", "brief => kind", "brief. => kind.|~~~|a"),
    ],
)
def test_blocks_of_code(ours: str, theirs: str, expected: str | None) -> None:
    check(CODE, ours, theirs, expected)


JSON = '{\n  "task": "sort {text}",\n  "labels": ["a", "b"],\n  "limits": {"words": 5}\n}\n'
MORE = JSON.replace('"b"', '"b", 1')


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        (JSON, MORE, JSON.replace("5", "7"), MORE.replace("5", "7")),
        ('{"a": 1}', '{"a": 1, "b": 2}', '{"a": 1, "c": {"d": [1]}}', '{"a": 1, "b": 2, "c": {"d": [1]}}'),
        ('{"a":1}', '{"a":1,"b":2}', '{"a": 1, "c": 3}', '{"a":1,"b":2,"c":3}'),
        ('{"a": 1}', '{\n\t"a": 2\n}\n', '{"c": 3, "a": 1}', '{\n\t"c": 3,\n\t"a": 2\n}\n'),
        ('{"a": 1, "b": 2}', '{"b": 2}', '{"a": 1, "b": 3}', '{"b": 3}'),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', '{"a": 1, "b": 3}', '{"b": 3, "a": 1}'),
        ('{"a": 1, "b": 2}', '{"a": 3, "b": 2}', '{"b": 2, "a": 1}', '{"b": 2, "a": 3}'),
        ('["a", "b"]', '["b", "c"]', '["a", "x", "b"]', '["x", "b", "c"]'),
        ('["a", "b"]', '["b", "a"]', '["a", "b", "c"]', '["b", "c", "a"]'),
        ("[1]", "[1, 2]", "[true, 1]", "[true, 1, 2]"),
        ('[{"in": 1}]', '[{"in": 1}, {"in": 2}]', '[{"in": 1}, 3]', '[{"in": 1}, {"in": 2}, 3]'),
        ('{"a": "é"}', '{"a": "é", "b": 1}', '{"a": "é", "c": "ü"}', '{"a": "é", "b": 1, "c": "ü"}'),
        ("[1]", '[1, "\\ud800"]', "[1, 2]", '[1, "\\ud800", 2]'),
        ('{"a": 1}', '{"a": 1, "x": {"y": 1}}', '{"x": {"z": 2}, "a": 1}', '{"a": 1, "x": {"y": 1, "z": 2}}'),
        ('{"a": 1}', '{"a": 2}', '{"a": 3}', None),
        ('{"a": 1}', "{}", '{"a": 2}', None),
        ('{"a": 1, "b": 2, "c": 3}', '{"b": 2, "a": 1, "c": 3}', '{"a": 1, "c": 3, "b": 2}', None),
        ('["a", "b"]', '["c", "b"]', '["d", "b"]', None),
        ('["a", "a"]', '["a", "a", "b"]', '["a", "a", "c"]', None),
        ('{"a": 1}', '{"a": 1, "a": 2}', '{"a": 1, "b": 2}', None),
        ('{"a": 1}', '["a"]', '{"a": 2}', None),
        ('{"a": {"b": 1}}', '{"a": [1]}', '{"a": {"b": 1, "c": 2}}', None),
        ('{"a": "{x}", "b": "{x}"}', '{"a": "{x}"}', '{"b": "{x}"}', None),
    ],
)
def test_json(base: str, ours: str, theirs: str, expected: str | None) -> None:
    assert merged(base, ours, theirs) == expected
    assert (merged(base, theirs, ours) is None) == (expected is None)


@pytest.mark.parametrize(
    ("base", "ours", "theirs"),
    [
        ("Read {x}.\n\nLabel of {x}:", "Label of {x}:", "Read {x}."),
        ("Say {x} and {x}.", "Say all and {x}.", "Say {x} and all."),
        ("say x now", "say {x now", "say x} now"),
        ("a b c d e f g", "b c d a e f g", "b c d e f a g"),
        ("a\nb\nc\nd\ne", "b\nc\na\nd\ne", "b\nc\nd\ne\na"),
    ],
)
def test_nothing_is_lost_invented_or_doubled(base: str, ours: str, theirs: str) -> None:
    assert merged(base, ours, theirs) is None


def test_a_clash_says_where() -> None:
    base = {"a": "one rule\ntwo", "b": "1. x\n2. y"}
    ours = {"a": "no rule\ntwo", "b": "1. x\n2. z"}
    theirs = {"a": "each rule\ntwo\nthree", "b": "1. x\n2. w"}
    first, second = Clash("a", "one rule", "no rule", "each rule"), Clash("b", "#. y", "#. z", "#. w")
    assert merge_components(base, ours, theirs) == Merge(None, (first, second))


def test_all_components_or_none() -> None:
    base, ours = {"a": "1", "b": "2"}, {"a": "3", "b": "2"}
    assert merge_components({}, {}, {}) == Merge({})
    assert merge_components(base, ours, {"b": "4", "a": "1"}) == Merge({"a": "3", "b": "4"})
    assert merge_components(base, ours, {"b": "4", "a": "5"}).components is None
    with pytest.raises(ValueError, match="component 'b' is not in all three texts"):
        merge_components({"a": ""}, {"a": ""}, {"a": "", "b": ""})


def test_long_texts_take_no_time() -> None:
    base = [f"- rule {i}: say {i * 7} for {i % 13}" if i % 3 else "" for i in range(500)]
    ours = [*base[:100], "- new", *base[100:200], *base[202:]]
    theirs = [line.replace("say 7", "never say 7") for line in base]
    start = time.perf_counter()
    assert merged("\n".join(base), "\n".join(ours), "\n".join(theirs))
    assert merged(" ".join(base), " ".join(ours), " ".join(theirs))
    assert merged("\n" + "* " * 9999, "\n" + "* " * 9999 + "a", "b\n" + "* " * 9999)
    assert merged("[" * 9999, "[" * 9998, "[" * 9999 + "]") is None
    assert time.perf_counter() - start < 3  # a twentieth of it on an idle machine


# -- laws -----------------------------------------------------------------------------------------

LINES = [
    *("", "", "", "  ", "a", "b", "c", "- be brief", "- be kind", "  - be brief", "---", "#", "\0", "\ue000"),
    *("Label {x}.", "{x}", "{y} and {x}", "2019. was", "1. one", "2. two", "3. three", "1. four", "2) five"),
    *("Answer with the label.", "Answer with the label only.", "Answer with one label. Say {x}."),
    *("```", "~~~", '{"a": 1}', "{", '"a": 1,', "}"),
]
PLAIN = ["", "", "a", "b", "c", "- d", "  - d", "{x}", "#", "\0", "Say e. Say f.", "---", "2019. was"]
lines = st.lists(st.sampled_from(LINES), max_size=9)
words = st.sampled_from(["very", "{y}", "2", "not", ".", "\0"])


@st.composite
def edited(draw: st.DrawFn, base: list[str]) -> str:
    """The lines after a few edits of lines and words."""
    late = list(base)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(late)))
        kind = draw(st.sampled_from(["insert", "delete", "change", "move", "word"]))
        if kind == "insert" or at == len(late):
            late[at:at] = draw(st.lists(st.sampled_from(LINES), min_size=1, max_size=3))
        elif kind == "delete":
            del late[at : at + draw(st.integers(1, 3))]
        elif kind == "change":
            late[at] = draw(st.sampled_from(LINES))
        elif kind == "move":
            late.insert(draw(st.integers(0, len(late) - 1)), late.pop(at))
        else:
            parts = late[at].split(" ")
            place = draw(st.integers(0, len(parts)))
            parts[place : place + draw(st.integers(0, 1))] = [draw(words)]
            late[at] = " ".join(parts)
    return "\n".join(late)


Texts = tuple[str, str, str]
related = lines.flatmap(lambda base: st.tuples(st.just("\n".join(base)), edited(base), edited(base)))
unrelated = st.tuples(*[lines.map("\n".join)] * 3) | st.tuples(*[st.text(max_size=30)] * 3)
triples = related | unrelated


def bare(text: str) -> list[str]:
    """The lines that are not blank, without their numbers, each with its words sorted."""
    numbered = (re.sub(r"^[\s>#*-]*\d+[.)]", "#", line) for line in written(text))
    return [" ".join(sorted(line.split())) for line in numbered]


def blank_run(text: str) -> int:
    """The most blank lines together, those around the text left out."""
    runs = groupby(text.strip().split("\n"), lambda line: not line.strip())
    return max((len(list(run)) for blank, run in runs if blank and text.strip()), default=0)


@given(triples)
def test_one_side_alone_is_taken_as_it_is(texts: Texts) -> None:
    base, one, other = texts
    assert merged(base, base, one) == one
    assert merged(base, one, base) == one
    assert merged(base, other, other) == other


@given(triples)
def test_which_side_is_ours_decides_on_nothing_but_the_order(texts: Texts) -> None:
    base, one, other = ({"p": text} for text in texts)
    there, back = merge_components(base, one, other), merge_components(base, other, one)
    assert {(c.ours, c.theirs) for c in there.clashes} == {(c.theirs, c.ours) for c in back.clashes}
    if there.components and back.components:
        assert Counter(bare(there.components["p"])) == Counter(bare(back.components["p"]))


@given(triples)
def test_a_merge_loses_doubles_and_invents_nothing(texts: Texts) -> None:
    merge = merged(*texts)
    if merge is None or merge in texts:
        return
    for mark in ("{x}", "{y}", "\0"):
        kept = all(mark in text for text in texts) and mark != "\0"
        assert kept <= (mark in merge) <= (mark in texts[1] + texts[2])
    assert set(merge) <= {*"".join(texts), *"0123456789\n"}
    count, old, mine, late = (Counter(bare(text)) for text in (merge, *texts))
    for line, n in count.items():
        by_words = not old[line] + mine[line] + late[line]
        assert by_words or n <= max(mine[line], late[line], mine[line] + late[line] - old[line])
    assert blank_run(merge) <= max(map(blank_run, texts[1:]))


def is_part(lines: list[str], longer: list[str]) -> bool:
    """True if all of `lines` stand in `longer`, in this order."""
    rest = iter(longer)
    return all(line in rest for line in lines)


@given(st.data())
def test_two_that_only_add_are_united(data: st.DataObject) -> None:
    base = data.draw(st.lists(st.sampled_from(PLAIN), max_size=6))
    sides = [list(base), list(base)]
    for side in sides:
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(side)))
            side[at:at] = data.draw(st.lists(st.sampled_from(PLAIN), min_size=1, max_size=3))
    ours, theirs = ("\n".join(side) for side in sides)
    merge = merged("\n".join(base), ours, theirs)
    assert merge is not None
    assert is_part(written("\n".join(base)), written(merge))
    assert is_part(written(ours), written(merge))
    mine, late = (Counter(written(side)) - Counter(written("\n".join(base))) for side in (ours, theirs))
    assert is_part(written(theirs), written(merge)) or mine & late
    assert not Counter(written(theirs)) - Counter(written(merge))
    assert set(written(merge)) == set(written(ours)) | set(written(theirs))


@given(st.lists(st.sampled_from("bot"), max_size=12))
def test_a_numbered_list_stays_one(owners: str) -> None:
    def numbered(kept: str) -> str:
        items = [f"item {i} of {owner}" for i, owner in enumerate(owners) if owner in kept]
        return "\n".join(["Rules:", *(f"{n}. {item}" for n, item in enumerate(items, 1)), "End {x}."])

    merge = merged(numbered("b"), numbered("bo"), numbered("bt"))
    assert merge is not None
    found = re.findall(r"(?m)^(\d+)\. (.*)$", merge)
    assert [int(number) for number, _ in found] == list(range(1, len(owners) + 1))
    for side in ("bo", "bt"):
        items = [re.sub(r"^\d+\. ", "", line) for line in numbered(side).split("\n")[1:-1]]
        assert [item for _, item in found if item[-1] in side] == items


values = st.recursive(
    st.sampled_from([None, True, 1, 0, 1.0, "a", "{x}", "é"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.sampled_from("abcd"), values, max_size=4) | st.lists(values, max_size=4)
layouts = st.sampled_from([None, 2, "\t"])


@given(st.lists(st.tuples(objects, layouts), min_size=3, max_size=3))
def test_json_stays_json(three: list[tuple[object, int | str | None]]) -> None:
    base, one, other = (json.dumps(value, indent=indent) for value, indent in three)
    merge, back = merged(base, one, other), merged(base, other, one)
    assert (merge is None) == (back is None)
    if merge is not None and back is not None:
        found, again = json.loads(merge), json.loads(back)
        assert found == again or sorted(map(repr, found)) == sorted(map(repr, again))
