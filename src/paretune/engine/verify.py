"""Is a record whole, and does it follow from its facts?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from paretune.algorithms.mipro import MiproSettings
from paretune.algorithms.settings import (
    GepaSettings,
    Pipeline,
    PoolSettings,
    Proxy,
    ProxyRule,
    Rungs,
    Staleness,
)
from paretune.core import events
from paretune.core.budget import Limits
from paretune.core.candidate import Candidate
from paretune.core.errors import AttemptFailed, ParetuneError
from paretune.core.events import from_record
from paretune.core.example import Example, Split, Splits
from paretune.core.frontier import FrontierType
from paretune.core.gate import Acceptance
from paretune.core.retry import RetryPolicy
from paretune.core.rollout import Answer, Identity
from paretune.engine.job import Job, Prices
from paretune.engine.record import Diverged, verify_chain
from paretune.engine.run import Runner
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import Dispatch
from paretune.evaluate.facts import is_rollout, outcome
from paretune.propose.base import Packet, Proposal, Surface
from paretune.store import MemoryStore
from paretune.store.base import Draw, Fact, Run, Store, StoredDecision, Write


def check_record(store: Store, run_id: str) -> list[str]:
    """Everything that is wrong with the record, in words; empty when nothing is."""
    problems: list[str] = []
    log = store.decisions(run_id)
    try:
        verify_chain(run_id, log)
    except Diverged as error:
        problems.append(str(error))  # what such a log says is not worth reading
    else:
        problems += _unbalanced(log)
    facts = store.facts(store.drawn(run_id), run_id)
    missing = [key for key in store.drawn(run_id) if key not in facts]
    if missing:
        problems.append(f"{len(missing)} facts that the run used are missing, for example {missing[0]}")
    problems += [
        f"fact {fact.key} answers another question than its key says"
        for fact in facts.values()
        if is_rollout(fact) and outcome(fact).key.id != fact.key
    ]
    cap = store.run(run_id).job.get("limits", {}).get("rollouts")
    drawn = sum(is_rollout(fact) for fact in facts.values())
    if cap is not None and drawn > cap:
        problems.append(f"{drawn} rollouts drawn, the cap is {cap}")
    return problems


def _unbalanced(log: Sequence[StoredDecision]) -> list[str]:
    """Candidates = 1 + admitted children; each child was proposed, gated once, and only then admitted."""
    problems = []
    proposed, gated, settled = set[str](), dict[str, bool](), set[str]()
    for stored in log:
        match from_record(stored.body):
            case events.ChildProposed(child=child):
                proposed.add(child)
            case events.HeadMoved(head=head, parents=parents, reason="joined"):
                if not gated.get(parents[1]):
                    problems.append(f"{head} joins an edit that passed no gate")
                proposed.add(head)
                gated[head] = True
            case events.TrialEnded(candidate=candidate):
                gated[candidate] = True  # a trial is what MIPRO has for a gate
            case events.GateDecided(child=child, passed=passed):
                if child not in proposed:
                    problems.append(f"{child} was gated without having been proposed")
                gated[child] = passed or gated.get(child, False)  # two lanes may propose the same text
            case (
                events.CandidateAdmitted(candidate=child, step=step)
                | events.RungEnded(candidate=child, step=step)
                | events.ProxyDecided(candidate=child, step=step)
                | events.EvaluationDeferred(child=child, step=step)
            ):
                if step and not gated.get(child):
                    problems.append(f"{child} went on without passing its gate")
                settled.add(child)
            case _:
                pass
    return problems


class _NobodyAnswers:
    """Stands where executor and proposer were: a replay has nothing to ask."""

    identity = "replay"

    async def run(self, batch: Sequence[Dispatch]) -> list[Answer | AttemptFailed]:
        raise Diverged(f"the replay asks for a rollout that is not on record: {batch[0].request.example.id}")

    async def propose(self, packet: Packet) -> Proposal:
        raise Diverged("the replay asks for a proposal that is not on record")


def replay_record(store: Store, run_id: str) -> int:
    """Make every decision again on a copy of the record. Returns how many there are.

    Raises Diverged at the first that comes out differently, ParetuneError if the run is not finished.
    """
    run = store.run(run_id)
    log = store.decisions(run_id)
    if not log or log[-1].body["kind"] != "run_finished":
        raise ParetuneError(f"{run_id} is not finished; a replay needs the whole record")
    copy = _copy(store, run, log)
    nobody = _NobodyAnswers()
    nobody.identity = run.job["proposer"]
    runner = Runner(copy, run_id, stored_job(run), nobody, nobody, verify=True)
    asyncio.run(runner.run())
    return len(log)


def _copy(store: Store, run: Run, log: Sequence[StoredDecision]) -> MemoryStore:
    copy = MemoryStore()
    copy.create_run(run)
    facts: list[Fact] = list(store.facts(store.drawn(run.id), run.id).values())
    writes: list[Write] = [*facts, *(Draw(fact.key) for fact in facts), *log]
    copy.commit(run.id, writes)
    return copy


def stored_job(run: Run) -> Job:
    """The job as its record describes it: enough to decide again, not to ask anybody."""
    job = json.loads(json.dumps(run.job))
    homes = {name: list(ids) for name, ids in job["splits"].items()}
    shared = set(homes["reflect"]) == set(homes["pareto"])
    split = {name: Split(name) for name in homes}
    if shared:
        split["reflect"] = Split.PARETO
    splits = Splits(**{n: tuple(Example(i, split[n]) for i in ids) for n, ids in homes.items()})
    settings = job["settings"]
    settings["frontier"] = FrontierType(settings["frontier"])
    settings["acceptance"] = Acceptance(settings["acceptance"])
    pipeline = settings["pipeline"]
    settings["pipeline"] = Pipeline(**{**pipeline, "staleness": Staleness(pipeline["staleness"])})
    settings["rungs"] = Rungs(**settings["rungs"])
    if proxy := settings.get("proxy"):
        settings["proxy"] = Proxy(**{**proxy, "rule": ProxyRule(proxy["rule"])})
    if pool := settings.get("pool"):
        settings["pool"] = PoolSettings(**{**pool, "reserve": tuple(pool["reserve"])})
    surface = job["surface"]
    surface["placeholders"] = {name: tuple(found) for name, found in surface["placeholders"].items()}
    return Job(
        name=run.name,
        seed=Candidate({name: job["seed"][name] for name in job["components"]}),
        splits=splits,
        identity=Identity(**job["identity"]),
        settings=GepaSettings(**settings),
        mipro=MiproSettings.from_record(job["mipro"]) if job["mipro"] else None,
        algorithm=job["algorithm"],
        surface=Surface(**surface),
        limits=Limits(**job["limits"]),
        queue=QueueSettings(retry=RetryPolicy(attempts=1)),
        noise_replicates=job["noise_replicates"],
        prices=Prices(0.0, 0.0, 0.0),
        lo=Identity(**job["lo"]) if "lo" in job else None,
    )
