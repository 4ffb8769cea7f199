"""JSON of unknown shape as people read it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from paretune.console.pages import ENVIRONMENT
from paretune.console.shape import MOST_NODES, Node, shape

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["role", "content", "tool_calls", "name", "function", "<b>"]), inner
        )
    ),
    max_leaves=30,
)


def nodes(node: Node) -> int:
    return 1 + sum(map(nodes, node.children))


@given(JSON)
def test_whatever_it_is_it_is_shown_and_escaped(value: Any) -> None:
    module: Any = ENVIRONMENT.get_template("_data.html").module
    assert "<b>" not in module.tree(shape(value))


def test_what_only_looks_like_a_message_is_shown_all_the_same() -> None:
    for content in (5, {"a": 1}, [{"image": "x"}], None):
        tree = shape({"role": "tool", "content": content, "tool_calls": [{"name": 1}]})
        (message,) = tree.messages
        assert message.more is not None


def test_messages_read_as_a_conversation() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    trace = {
        "event_history": [
            {
                "request": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]},
                "answer": {"role": "assistant", "content": None, "tool_calls": [call]},
            }
        ],
        "metadata": {"numbers": list(range(20))},
    }
    tree = shape(trace)
    history, metadata = tree.children
    asked = history.children[0].children[0].children[0]
    answer = history.children[0].children[1]
    assert (asked.kind, asked.messages[0].role, asked.messages[0].text) == ("messages", "user", "Hello")
    assert answer.messages[0].calls == (("look", '{"at": 1}'),)
    assert history.open
    assert not metadata.open


def test_of_a_huge_value_the_rest_is_left_out_and_said() -> None:
    tree = shape([{"n": i, "s": "x" * 50_000} for i in range(10_000)])
    assert nodes(tree) < MOST_NODES + 10
    assert tree.children[-1].kind == "cut"
    assert "more characters" in tree.children[0].children[1].text
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    assert nodes(shape(deep)) < 40
