"""The second reading: what the store on disk and the containers say, without the server.

Figures are made anew from the single rollouts on record. What the texts are worth is asked of the container's
own judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from statistics import fmean
from typing import Any

from conformance.world import CONTAINER_KEY, FAST, World
from paretune.core.canonical import digest_of_words
from paretune.core.events import GateDecided
from paretune.store import JobFilter, Jobs, JobState, StoredJob, UnknownRun, open_jobs, open_store
from paretune.views.run_view import Row, RunView, read

STATES: tuple[JobState, ...] = ("queued", "running", "paused", "succeeded", "failed", "cancelled")


class Reading:
    """Each public method is a fact by its name: what a client must have got."""

    def __init__(self, world: World) -> None:
        self.world = world

    def fact(self, name: str, about: Mapping[str, Any]) -> Any:
        found: Callable[..., Any] = getattr(self, name)
        return found(**about)

    # -- jobs -------------------------------------------------------------------------------------

    def newest(self) -> str:
        return self._jobs_listed()[0].id

    def jobs(self, state: str = "", system: str = "") -> list[str]:
        return [job.id for job in self._jobs_listed(JobFilter(state=state, system_id=system))]

    def state(self, job: str) -> str:
        return self._job(job).state

    def run(self, job: str) -> str:
        return self._job(job).run_id

    def parent(self, job: str) -> str:
        return self._job(job).parent

    def system(self, job: str) -> Any:
        found: Any = self._job(job).given.get("system") or {}
        return [found.get("id"), found.get("name")]

    def events(self, job: str, first: int = 10_000, since: int = 0) -> list[list[Any]]:
        """Number and type of each, or of the first ones."""
        with self._opened() as jobs:
            return [[event.seq, event.type] for event in jobs.events(job, since, first)]

    def systems(self, named: str = "") -> list[str]:
        """All names in order, or id and name of this one."""
        with self._opened() as jobs:
            found = jobs.systems()
        if not named:
            return sorted(system.name for system in found)
        (one,) = (system for system in found if system.name == named)
        return [one.id, one.name]

    def result(self, job: str) -> dict[str, Any]:
        """What a client is told when a job has come to its end."""
        return {"status": self.state(job), "best_score": self.score(job), "text": self.text(job)}

    def workflow(self, job: str) -> dict[str, Any]:
        known = self._job(job)
        return {"job": job, "run": known.run_id, "status": known.state, "algorithm": known.algorithm}

    # -- scores and texts -------------------------------------------------------------------------

    def score(self, job: str) -> float | None:
        """The best candidate's mean on the pareto examples, from single rollouts."""
        view = self._view(job)
        return self._mean(view, view.best, "pareto") if view else None

    def baseline(self, job: str) -> float | None:
        view = self._view(job)
        return self._mean(view, view.seed, "pareto") if view else None

    def heldout(self, job: str) -> float | None:
        view = self._view(job)
        return self._mean(view, view.best, "select") if view else None

    def worth(self, job: str, split: str) -> float:
        """What the container's own judge says of the best text on these examples."""
        view = self._seen(job)
        assert view.best is not None
        return self.judged("\n".join(view.best.components.values()), view.splits[split])

    def judged(self, text: str, examples: Sequence[str]) -> float:
        task = foreign()
        seeds = [int(example) for example in examples]
        return fmean(task.judge(task.simulated_model(text, seed), seed)[0] for seed in seeds)

    def text(self, job: str, rank: int = 1) -> str | None:
        """The whole prompt of this rank, as clients write it: role and name, then the text."""
        view = self._seen(job)
        finalists = self._finalists(view)
        if rank > len(finalists):
            return None
        return self._written(view, finalists[rank - 1])

    def content(self, job: str) -> Any:
        """The best texts alone."""
        view = self._seen(job)
        assert view.best is not None
        return self._told(view, view.best)[3]

    def texts(self, job: str) -> list[str | None]:
        view = self._seen(job)
        return [self._written(view, row) for row in self._finalists(view)]

    def heldout_scores(self, job: str) -> list[list[Any]]:
        """Held-out mean of the initial prompt and of each finalist, with its rank."""
        view = self._seen(job)
        finalists = self._finalists(view)
        rows = {row.id: row for row in (view.seed, *finalists)}
        return sorted([row.id, self._mean(view, row, "select")] for row in rows.values())

    # -- candidates -------------------------------------------------------------------------------

    def candidates(self, job: str) -> list[list[Any]]:
        """Id, generation, parents, text and mean of each, in order of appearance."""
        view = self._seen(job)
        return [self._told(view, row) for row in sorted(view.rows.values(), key=lambda row: row.index)]

    def candidate(self, job: str, id: str) -> list[Any]:
        view = self._seen(job)
        return self._told(view, view.rows[id])

    def ids(self, job: str) -> list[str]:
        return [one[0] for one in self.candidates(job)]

    def contents(self, job: str) -> list[str]:
        return [one[3] for one in self.candidates(job)]

    def rejected(self, job: str) -> list[str]:
        """Who was turned down at its gate."""
        gates = self._seen(job).of_kind(GateDecided)
        lost = {gate.child for gate in gates if isinstance(gate, GateDecided) and not gate.passed}
        return [id for id in self.ids(job) if id in lost]

    def ranked(self, job: str, only: Sequence[str] = ()) -> list[str]:
        """Ids of the finalists, best first."""
        return [row.id for row in self._finalists(self._seen(job))]

    def best(self, job: str) -> str | None:
        view = self._view(job)
        return view.best.id if view and view.best else None

    def attempted(self, job: str) -> list[list[Any]]:
        """Id and mean on the pareto examples of every candidate: the finalists first, then who was scored."""
        found = [[id, mean] for id, _, _, _, mean in self.candidates(job)]
        first = self.ranked(job)
        place = {id: first.index(id) for id in first}
        return sorted(found, key=lambda one: (place.get(one[0], len(first)), one[1] is None))

    # -- rollouts ---------------------------------------------------------------------------------

    def drawn(self, job: str) -> int:
        """How often the containers were asked for the rollouts that this job drew, whichever job paid."""
        tally, keys = self.world.tally(), self._seen(job).ledger.drawn
        with self._opened() as jobs:
            runs = [known.run_id for known in jobs.in_state(*STATES)]
        return sum(tally.get(rollout_id(run, key), 0) for run in runs for key in keys)

    def repeated(self) -> int:
        """Rollouts that any container was asked for more than once."""
        return sum(n > 1 for n in self.world.tally().values())

    # -- events as figures, checkpoints, errors ---------------------------------------------------

    def budget(self, job: str) -> Any:
        return self._seen(job).run.job["limits"]["rollouts"]

    def detail(self, job: str) -> str:
        return self._job(job).detail

    def uploaded(self) -> list[str]:
        """Names of the environment keys that all jobs get."""
        with self._opened() as jobs:
            return sorted(jobs.secrets(""))

    def in_the_clear(self) -> list[str]:
        """Keys that can be read in any file of the store or in the server's log."""
        files = [path.read_bytes() for path in self.world.store.parent.rglob("*") if path.is_file()]
        told = [*files, self.world.log.encode()]
        keys = {"container": CONTAINER_KEY, **self.world.tokens}
        return [name for name, key in keys.items() if any(key.encode() in text for text in told)]

    def decisions(self, job: str) -> int:
        return len(self._seen(job).decisions)

    def refusal(self, names: Sequence[str], error: str) -> dict[str, Any]:
        """An error of the client that says what is wrong, and shows nothing of the server."""
        return {"error": error, "names": list(names), "traceback": False}

    def just(self, value: Any) -> Any:
        """What the protocol says, whatever the store holds."""
        return value

    # -- from here on, how ------------------------------------------------------------------------

    @contextmanager
    def _opened(self) -> Iterator[Jobs]:
        with closing(open_jobs(self.world.store)) as jobs:
            yield jobs

    def _jobs_listed(self, filter: JobFilter | None = None) -> list[StoredJob]:
        with self._opened() as jobs:
            return jobs.page(filter or JobFilter(), 1000)[0]

    def _job(self, job: str) -> StoredJob:
        with self._opened() as jobs:
            return jobs.job(job)

    def _view(self, job: str) -> RunView | None:
        with closing(open_store(self.world.store)) as store:
            try:
                return read(store, self._job(job).run_id)
            except UnknownRun:
                return None

    def _seen(self, job: str) -> RunView:
        view = self._view(job)
        assert view is not None
        return view

    def _mean(self, view: RunView, row: Row | None, split: str) -> float | None:
        """None unless every example of the split was asked."""
        rewards = view.rewards(row.id, split) if row else {}
        return fmean(rewards.values()) if rewards and len(rewards) == len(view.splits[split]) else None

    def _finalists(self, view: RunView) -> list[Row]:
        """Who was chosen, then the others by their held-out mean and by the mean they were selected on."""
        chosen = view.chosen
        assert chosen is not None

        def place(row: Row) -> tuple[bool, float, float, int]:
            return (
                row.id != chosen.best,
                -(self._mean(view, row, "select") or 0.0),
                -(self._mean(view, row, "pareto") or 0.0),
                row.index,
            )

        return sorted((row for row in view.rows.values() if row.id in chosen.means), key=place)

    def _written(self, view: RunView, row: Row) -> str:
        roles: Mapping[str, str] = view.run.job["surface"]["roles"]
        parts = [(roles.get(name, "system"), name) for name in view.run.job["components"]]
        return "\n\n".join(f"[{role} | {name}]\n{row.components[name]}" for role, name in parts)

    def _told(self, view: RunView, row: Row) -> list[Any]:
        text = "\n\n".join(row.components[name] for name in view.run.job["components"])
        return [row.id, row.generation, list(row.parents), text, self._mean(view, row, "pareto")]


def rollout_id(run: str, key: str) -> str:
    return "ro_" + digest_of_words(run, key, length=32)


@cache
def foreign() -> Any:
    """The container's own module, for its judge."""
    spec = spec_from_file_location("good_http_server", FAST)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
