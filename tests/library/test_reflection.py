"""Asking a model for better texts: the prompt, the strict reading of the answer, many questions at once."""

import base64
import contextvars
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.errors import AttemptFailed, FailureKind, Misconfigured
from paretune.library.image import Image
from paretune.library.instruction import InstructionProposalSignature, fenced_text
from paretune.library.reflection import BatchReflectionLM, ReflectionJob, ReflectionLM, StatelessReflectionLM
from paretune.propose.guards import Reason, Rejected

RECORDS = [{"Inputs": {"question": "2+2", "notes": ["short", {"lang": "en"}]}, "Feedback": "wrong\nby one"}]


def rendered(current: str, records: Any = RECORDS, template: str | None = None) -> Any:
    return InstructionProposalSignature.prompt_renderer(
        {"current_instruction_doc": current, "dataset_with_feedback": records, "prompt_template": template}
    )


# -- the prompt -------------------------------------------------------------------------------------


def test_records_are_told_as_headings_and_items() -> None:
    told = rendered("CURRENT", template="<curr_param>|<side_info>")
    assert told.startswith("CURRENT|# Example 1\n## Inputs\n### question\n2+2\n")
    assert "### notes\n#### Item 1\nshort\n" in told
    assert "#### Item 2\n##### lang\nen\n" in told
    assert "## Feedback\nwrong\nby one" in told


def test_a_text_that_holds_a_marker_is_not_filled_in_again() -> None:
    told = rendered(
        "keep <side_info> here", [{"Feedback": "say <curr_param>"}], "A <curr_param> B <side_info>"
    )
    assert told == "A keep <side_info> here B # Example 1\n## Feedback\nsay <curr_param>\n"


def test_images_become_parts_in_the_order_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "seen.png"
    file.write_bytes(b"pixels")
    [message] = rendered("C", [{"Shot": Image(url="http://x/1.png")}, {"Shots": [Image(path=str(file))]}])
    text, *images = message["content"]
    assert "## Shot\n[image 1, attached]" in text["text"]
    assert "### Item 1\n[image 2, attached]" in text["text"]
    data = f"data:image/png;base64,{base64.b64encode(b'pixels').decode()}"
    assert [part["image_url"]["url"] for part in images] == ["http://x/1.png", data]


@pytest.mark.parametrize("given", [{}, {"url": "u", "path": "p"}, {"base64_data": "abc"}])
def test_an_image_has_one_source(given: dict[str, str]) -> None:
    with pytest.raises(Misconfigured):
        Image(**given)


@pytest.mark.parametrize(
    ("template", "missing"),
    [("<curr_param>", "<side_info>"), ("<side_info>", "<curr_param>"), ("neither", "<curr_param> and no")],
)
def test_a_template_has_both_places(template: str, missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        StatelessReflectionLM(lambda prompt: "", {"a": template})


# -- the answer -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("```\nnew\n```", "new"),
        ("Here it is:\n\n```markdown\nnew\nlines\n```\nHave fun.", "new\nlines"),
        ("so: ```new``` it is", "new"),
        ("```\r\nnew\r\n```", "new"),
        ("<think>```\ndraft\n```</think>\n```\nnew\n```", "new"),
        ("```\nnew\n```python\nx\n```\nmore\n```", "new\n```python\nx\n```\nmore"),
        ("```\nnew\n```\nexample\n```\nmore\n```", "new\n```\nexample\n```\nmore"),
        ("Done:\n````\nnew\n```\nopen\n````", "new\n```\nopen"),
    ],
)
def test_the_text_of_the_one_block(answer: str, text: str) -> None:
    assert InstructionProposalSignature.output_extractor(answer) == {"new_instruction": text}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", Reason.EMPTY),
        ("```\n\n```", Reason.EMPTY),
        ("You should say please.", Reason.UNFENCED),
        ("```\nbroken o", Reason.TRUNCATED),
        ("```\ncode as in\n```python\nx", Reason.TRUNCATED),
        ("```\ncode as in\n```python\nx\n```\nand th", Reason.TRUNCATED),
        ("<think>well", Reason.TRUNCATED),
        ("One:\n```\na\n```\nor two:\n```\nb\n```", Reason.AMBIGUOUS),
    ],
)
def test_what_is_no_whole_block_is_not_guessed_at(answer: str, reason: Reason) -> None:
    with pytest.raises(Rejected) as refused:
        fenced_text(answer)
    assert refused.value.reason is reason


@given(st.lists(st.sampled_from(["```", "```python", "a b", "", "x `` y"]), min_size=1, max_size=7))
def test_inside_a_longer_fence_anything_may_stand(lines: list[str]) -> None:
    text = "\n".join(["begin here", *lines, "end there"])
    assert fenced_text(f"Sure.\n````\n{text}\n````\nBye.") == text


# -- the one who asks -------------------------------------------------------------------------------


def test_each_component_with_records_is_asked_for_by_its_own_template() -> None:
    asked: list[Any] = []

    def model(prompt: Any) -> str:
        asked.append(prompt)
        return f"```\nbetter than {prompt.split()[1]}\n```"

    template = "own: <curr_param> <side_info>"
    lm = StatelessReflectionLM(model, {"a": template, "b": template})
    assert isinstance(lm, ReflectionLM)
    proposal, successor = lm.reflect(
        {"a": "A", "b": "B", "c": "C"}, {"a": RECORDS, "b": RECORDS, "c": []}, ["a", "b", "c"]
    )
    assert successor is lm
    assert proposal.new_texts == {"a": "better than A", "b": "better than B"}
    assert sorted(proposal.prompts.values(), key=str) == sorted(asked)
    assert proposal.raw_lm_outputs["a"] == "```\nbetter than A\n```"


def test_a_component_whose_answer_is_unusable_is_left_out_and_said() -> None:
    lm = StatelessReflectionLM(
        lambda prompt: "no block" if "BAD" in str(prompt) else "```\nnew\n```", "<curr_param> <side_info>"
    )
    texts, dataset = {"a": "BAD", "b": "B"}, {"a": RECORDS, "b": RECORDS}
    proposal, _ = lm.reflect(texts, dataset, ["a", "b"])
    assert proposal.new_texts == {"b": "new"}
    assert proposal.metadata["rejected"]["a"]["reason"] == Reason.UNFENCED
    assert proposal.raw_lm_outputs["a"] == "no block"
    with pytest.raises(Rejected, match="no block"):
        lm.reflect(texts, dataset, ["a"])


def test_one_job_that_fails_spoils_no_other() -> None:
    def model(prompt: Any) -> str:
        if "BAD" in prompt:
            raise AttemptFailed(FailureKind.TIMEOUT, "nobody answered")
        return "```\nnew\n```"

    lm = StatelessReflectionLM(model)
    assert isinstance(lm, BatchReflectionLM)
    jobs: list[ReflectionJob] = [({"a": text}, {"a": RECORDS}, ["a"]) for text in ("A", "BAD", "C")]
    proposals = [proposal for proposal, _ in lm.reflect_many(jobs)]
    assert [p.new_texts for p in proposals] == [{"a": "new"}, {}, {"a": "new"}]
    assert "nobody answered" in proposals[1].metadata["rejected"]["a"]["detail"]
    with pytest.raises(AttemptFailed):
        lm.reflect(*jobs[1])


def test_a_model_without_batches_is_asked_at_once_with_the_callers_context() -> None:
    setting = contextvars.ContextVar("setting", default="outside")
    setting.set("inside")
    together = threading.Barrier(3, timeout=20)

    def model(prompt: Any) -> str:
        together.wait()  # passes only if three calls are in flight at the same time
        return f"```\n{setting.get()}\n```"

    jobs: list[ReflectionJob] = [({"a": str(n)}, {"a": RECORDS}, ["a"]) for n in range(3)]
    proposals = [proposal for proposal, _ in StatelessReflectionLM(model).reflect_many(jobs)]
    assert [p.new_texts for p in proposals] == [{"a": "inside"}] * 3


class Batching:
    """A model that takes all prompts in one call."""

    total_cost = 0.25

    def __init__(self, answers: list[str]) -> None:
        self.answers = answers
        self.calls: list[Any] = []

    def __call__(self, prompt: Any) -> str:
        raise AssertionError("asked for one at a time")

    def batch_complete(self, messages: list[Any]) -> list[str]:
        self.calls.append(messages)
        return self.answers


def test_a_model_that_takes_batches_gets_one() -> None:
    model = Batching(["```\none\n```", "```\ntwo\n```"])
    lm = StatelessReflectionLM(model)
    jobs: list[ReflectionJob] = [({"a": str(n)}, {"a": RECORDS}, ["a"]) for n in range(2)]
    assert [p.new_texts["a"] for p, _ in lm.reflect_many(jobs)] == ["one", "two"]
    [messages] = model.calls
    assert [one[0]["role"] for one in messages] == ["user", "user"]
    assert lm.total_cost == 0.25


def test_answers_that_do_not_match_the_questions_are_nobodys() -> None:
    lm = StatelessReflectionLM(Batching(["```\none\n```"]))
    jobs: list[ReflectionJob] = [({"a": str(n)}, {"a": RECORDS}, ["a"]) for n in range(2)]
    assert [p.new_texts for p, _ in lm.reflect_many(jobs)] == [{}, {}]
