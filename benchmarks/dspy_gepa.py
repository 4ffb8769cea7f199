"""DSPy's GEPA on paretune and on gepa: one small program, one scripted model, the same seed.

    python benchmarks/dspy_gepa.py ours      # gepa need not be installed
    python benchmarks/dspy_gepa.py theirs

Each prints what it saw as a line of JSON: seconds, calls of the metric and of the reflection model, held-out
score. The model is scripted: it solves an example once the instruction has the example's rule.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from types import SimpleNamespace
from typing import Any

RULES = 12


def scripted(dspy: Any) -> Any:
    """A model that follows the rules of its instruction and, asked to reflect, writes down what it reads."""

    class Scripted(dspy.BaseLM):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(model="scripted", cache=False)
            self.reflections = 0

        def forward(self, prompt: Any = None, messages: Any = None, **_: Any) -> Any:
            texts = [message["content"] for message in messages or [{"content": prompt}]]
            text = "\n".join(t if isinstance(t, str) else json.dumps(t) for t in texts)
            missing = sorted(set(re.findall(r"missing: (rule-\d+)", text)))
            if missing:
                self.reflections += 1
                known = sorted(set(re.findall(r"follow (rule-\d+)", text)))
                rules = sorted({*known, *missing[:2]})
                new = "Answer. " + " ".join(f"follow {rule}" for rule in rules)
                answer = f"[[ ## new_instruction ## ]]\n{new}\n\n[[ ## completed ## ]]"
                if "JSON object" in text:
                    answer = json.dumps({"new_instruction": new})
            else:
                wanted = re.findall(r"item-(\d+)", texts[-1])[-1]
                right = f"follow rule-{int(wanted) % RULES} " in f"{texts[0]} ".replace("\n", " ")
                answer = f"[[ ## answer ## ]]\n{'yes' if right else 'no'}\n\n[[ ## completed ## ]]"
            choice = SimpleNamespace(
                message=SimpleNamespace(content=answer, tool_calls=None), finish_reason="stop"
            )
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            return SimpleNamespace(choices=[choice], usage=usage, model="scripted")

    return Scripted()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("side", choices=["ours", "theirs"])
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.side == "ours":
        import paretune

        paretune.install_as_gepa()
    import dspy

    model, calls = scripted(dspy), 0

    def metric(gold: Any, answer: Any, *_: Any) -> Any:
        nonlocal calls
        calls += 1
        number = int(gold.question.split("-")[1])
        score = float(answer.answer == "yes")
        feedback = "well done" if score else f"missing: rule-{number % RULES}"
        return dspy.Prediction(score=score, feedback=feedback)

    examples = [dspy.Example(question=f"item-{n}", answer="yes").with_inputs("question") for n in range(60)]
    with dspy.context(lm=model, adapter=dspy.ChatAdapter()):
        program = dspy.Predict("question -> answer")
        began = time.perf_counter()
        optimizer = dspy.GEPA(
            metric=metric,
            max_metric_calls=arguments.calls,
            reflection_lm=model,
            num_threads=4,
            seed=arguments.seed,
            track_stats=True,
        )
        best = optimizer.compile(program, trainset=examples[:24], valset=examples[24:48])
        seconds, used = time.perf_counter() - began, calls
        held_out = sum(best(question=e.question).answer == "yes" for e in examples[48:]) / 12
    found = {
        "side": arguments.side,
        "engine": type(best.detailed_results).__module__,
        "seconds": round(seconds, 2),
        "calls": used,
        "reflections": model.reflections,
        "validation": max(best.detailed_results.val_aggregate_scores),
        "held_out": round(held_out, 3),
        "gepa": sys.modules["gepa"].__file__ if hasattr(sys.modules["gepa"], "__file__") else None,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
