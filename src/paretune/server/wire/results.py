"""The results of a job on the wire: best prompt, top prompts, candidates, held-out scores, artifacts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from paretune.core import events
from paretune.core.candidate import CandidateId
from paretune.server.wire.candidates import item
from paretune.server.wire.events import known
from paretune.server.wire.prompts import Prompts, prompt_length
from paretune.server.wire.scores import Scores, mutation_type
from paretune.store.jobs import StoredJob
from paretune.views.evidence import packet, proposals
from paretune.views.run_view import Row, RunView

OPTIMIZED_TOLD, ATTEMPTED_TOLD = 50, 500
"""So many are listed with their texts, the best ones first; candidate pages have them all."""

LONGEST = 256 * 1024
"""Characters of an artifact that a list still holds; a longer one is fetched by its name."""


@dataclass(frozen=True)
class Results:
    """What a run found, in the shapes of all dialects. Before its end: what it found so far."""

    job: StoredJob
    view: RunView

    @cached_property
    def scores(self) -> Scores:
        return Scores(self.view)

    @cached_property
    def prompts(self) -> Prompts:
        return Prompts.of(self.job, self.view.run.job)

    def all(self) -> dict[str, Any]:
        """The results object. What is unknown is None."""
        return {
            "job_id": self.job.id,
            "status": self.job.state,
            **self.best(),
            "top_prompts": self.top_prompts(),
            "optimized_candidates": self.optimized(),
            "attempted_candidates": self.attempted(),
            "attempted_total": len(self.view.rows),
            "validation_results": self.validations(),
            "version_tree": self.tree(),
            **self.totals(),
        }

    # -- the best ---------------------------------------------------------------------------------

    def best(self) -> dict[str, Any]:
        """Scores of the best candidate and its prompt; None while nothing was scored."""
        best, baseline = self.view.best, self.view.seed
        train = self.scores.train(best) if best else None
        heldout = self.scores.validation(best) if best else None
        return {
            "best_prompt": self.prompts.best(best.components) if best else None,
            "best_candidate_id": best.id if best else None,
            "best_score": best_score(train, heldout),
            "best_reward": best_score(train, heldout),
            "best_train_score": train,
            "best_validation_score": heldout,
            "baseline_score": self.scores.train(baseline),
            "baseline_validation_score": self.scores.validation(baseline),
        }

    def top_prompts(self) -> list[dict[str, Any]]:
        """The finalists by rank, with their texts."""
        return [
            {
                "rank": self.scores.ranks[row.id],
                "candidate_id": row.id,
                "train_accuracy": self.scores.train(row),
                "val_accuracy": self.scores.validation(row),
                "template": self.prompts.template(row.components),
                "pattern": self.prompts.pattern(row.components),
                "full_text": self.prompts.full_text(row.components),
            }
            for row in self.scores.top
        ]

    # -- candidates -------------------------------------------------------------------------------

    def optimized(self) -> list[dict[str, Any]]:
        """The frontier and the finalists, by rank."""
        chosen = {row.id for row in self.scores.top} | self.scores.frontier
        rows = [row for row in self.scores.ranked if row.id in chosen][:OPTIMIZED_TOLD]
        return [self._optimized(row) for row in rows]

    def _optimized(self, row: Row) -> dict[str, Any]:
        return {
            **item(self.job, self.scores, row),
            "score": self._score(row),
            **self._outcome(self.scores.train(row)),
            "payload_kind": "template",
            "template": self.prompts.template(row.components),
            "pattern": self.prompts.pattern(row.components),
        }

    def attempted(self) -> list[dict[str, Any]]:
        """All candidates, those with a rank first. `accuracy` only where all pareto examples were asked for:
        a figure on a minibatch stands apart."""
        ranked = self.scores.ranked
        others = [row for row in self.view.rows.values() if row.id not in self.scores.ranks]
        return [self._attempted(row) for row in [*ranked, *others][:ATTEMPTED_TOLD]]

    def _attempted(self, row: Row) -> dict[str, Any]:
        replacements = [
            {"new_text": message["content"], "apply_to_role": message["role"]}
            for message in self.prompts.messages(row.components)
        ]
        told = {
            "candidate_id": row.id,
            "rank": self.scores.ranks.get(row.id),
            **self._score(row),
            **self._outcome(self.scores.train(row)),
            "minibatch_score": self.scores.minibatch(row),
            "status": self.scores.status(row),
            "generation": row.generation,
            "parent_id": row.parents[0] if row.parents else None,
            "mutation_type": mutation_type(row.origin),
            "artifact_kind": self.prompts.artifact(row.components).kind,
            "object": {"text_replacements": replacements},
        }
        return known(told)

    def _score(self, row: Row) -> dict[str, Any]:
        objectives = self.scores.objectives(row)
        rewards = self.scores.by_example(row, "pareto")[1] if row.mean is not None else None
        return known(
            {
                "accuracy": self.scores.train(row),
                "reward": self.scores.train(row),
                "prompt_length": prompt_length(row.components),
                "tool_call_rate": objectives.get("tool_call_rate"),
                "objectives": objectives,
                "instance_scores": rewards,
            }
        )

    def _outcome(self, reward: float | None) -> dict[str, Any]:
        return {} if reward is None else {"outcome_reward": reward, "outcome_objectives": {"reward": reward}}

    def tree(self) -> dict[str, Any]:
        """Who came from whom, without texts."""
        return {
            "nodes": [
                known(
                    {
                        "version_id": row.id,
                        "parent_ids": list(row.parents),
                        "generation": row.generation,
                        "mutation_type": mutation_type(row.origin),
                        "reward": self.scores.train(row),
                    }
                )
                for row in self.view.rows.values()
            ]
        }

    # -- held-out examples ------------------------------------------------------------------------

    def validations(self) -> list[dict[str, Any]]:
        """The initial prompt and the finalists on held-out examples; empty where there are none.

        `is_baseline` marks the initial prompt, which has no rank unless it was chosen.
        """
        rows = {row.id: row for row in [self.view.seed, *self.scores.top]}
        return [self._validation(row) for row in rows.values() if row.id in self.scores.heldout]

    def _validation(self, row: Row) -> dict[str, Any]:
        split, best = self.scores.heldout_split, self.view.best
        seeds, rewards = self.scores.by_example(row, split)
        baseline = row.id == self.view.seed.id
        ranked = not baseline or (best is not None and row.id == best.id)
        accuracy = self.scores.heldout[row.id]
        told = {
            "candidate_id": row.id,
            "rank": self.scores.ranks.get(row.id) if ranked else None,
            "is_baseline": baseline,
            "accuracy": accuracy,
            "val_accuracy": accuracy,
            "train_accuracy": self.scores.train(row),
            **self._outcome(accuracy),
            "instance_scores": rewards,
            "seeds": seeds,
            "split": "validation" if split == "select" else "test",
        }
        return known(told)

    @property
    def test(self) -> Mapping[CandidateId, float]:
        """Means on examples that no choice was made on: the initial prompt and the best."""
        return self.view.finished.test if self.view.finished else {}

    # -- what it took -----------------------------------------------------------------------------

    def totals(self) -> dict[str, Any]:
        ledger, ended = self.view.ledger, self.view.ended
        return {
            "total_rollouts": len(ledger.drawn),
            "trials_tried": proposals(self.view) + len(self.view.of_kind(events.TrialStarted)),
            "total_candidates": len(self.view.rows),
            "total_cost_usd": ledger.cost_usd,
            "total_tokens": sum(spent.tokens for spent in ledger.by_role.values()),
            "elapsed_seconds": round(self.view.elapsed, 3),
            "finish_reason": finish_reason(ended.reason) if ended else None,
            "finish_detail": f"{ended.reason}: {ended.detail}" if ended else None,
        }


def best_score(train: float | None, heldout: float | None) -> float | None:
    """One figure under the name that every dialect reads: the train mean, which candidates are compared by
    all through a run. A best that was never scored on all pareto examples has its held-out mean."""
    return heldout if train is None else train


FINISH_REASONS = {
    "rollouts": "rollout_limit",
    "steps": "rollout_limit",
    "cost_usd": "budget_exhausted",
    "tokens": "budget_exhausted",
    "rollout_tokens": "budget_exhausted",
    "proposal_tokens": "budget_exhausted",
    "verdict_tokens": "budget_exhausted",
    "rollout_usd": "budget_exhausted",
    "proposal_usd": "budget_exhausted",
    "verdict_usd": "budget_exhausted",
    "time": "time_limit",
    "seconds": "time_limit",
    "generations": "max_generations_reached",
    "patience": "no_improvement",
    "stalled": "no_improvement",
}


def finish_reason(reason: str) -> str:
    """Why a search ended, in the wire's words."""
    return FINISH_REASONS.get(reason, "completed")


# -- artifacts ------------------------------------------------------------------------------------


def artifact_texts(job: StoredJob, view: RunView) -> dict[str, str]:
    """Name -> text: the best prompt (`prompt.txt`, `prompt.json`) and the evidence packet's files."""
    texts = packet(view)
    if view.best:
        prompts = Prompts.of(job, view.run.job)
        best = prompts.best(view.best.components)
        texts = {
            "prompt.txt": prompts.full_text(view.best.components),
            "prompt.json": json.dumps(best, indent=2, ensure_ascii=False) + "\n",
            **texts,
        }
    return texts


def artifacts(job: StoredJob, view: RunView) -> dict[str, Any]:
    """All artifacts with their texts; `content` of a very long one is None, `size_bytes` says how long."""
    texts = artifact_texts(job, view)
    return {"job_id": job.id, "artifacts": [artifact(name, text) for name, text in texts.items()]}


def artifact(name: str, text: str, longest: int | None = LONGEST) -> dict[str, Any]:
    """One artifact; whole with `longest` None."""
    data = text.encode("utf-8", "surrogatepass")
    return {
        "artifact_id": name,
        "name": name,
        "kind": _kind(name),
        "content_type": _TYPES.get(name.rpartition(".")[2], "text/plain"),
        "size_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "content": text if longest is None or len(text) <= longest else None,
    }


_TYPES = {"json": "application/json", "jsonl": "application/jsonl", "diff": "text/x-diff"}


def _kind(name: str) -> str:
    if name.startswith(("prompt.", "best/")):
        return "prompt"
    return "diff" if name.startswith("diff/") else "evidence"
