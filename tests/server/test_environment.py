"""Which variables of the server a job gets to see, and may name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paretune.config import PromptLearningConfig
from paretune.core.errors import Misconfigured
from paretune.server.environment import JobEnvironment, without
from paretune.server.vault import Vault
from paretune.store import SqlJobs, StoredJob

SERVER = {
    "PATH": "/bin",
    "CLOUD_SECRET": "sk-cloud",
    "PARETUNE_PROPOSER_BASE_URL": "http://127.0.0.1:8080/v1",
    "PARETUNE_PROPOSER_API_KEY": "sk-proposer",
    "OPENAI_API_KEY": "sk-openai",
    "ENVIRONMENT_API_KEY": "task-key",
}
JOB = StoredJob("pl_1", "x", "2026-01-01T00:00:00.000+00:00", {"prompt_learning": {}}, {}, "run_1", "gepa")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[JobEnvironment]:
    with closing(SqlJobs(tmp_path / "jobs.sqlite")) as jobs:
        yield JobEnvironment(jobs, Vault(tmp_path / "key"), server=SERVER)


def keep(environment: JobEnvironment, owner: str, name: str, value: str) -> None:
    environment.jobs.keep_secret(owner, name, environment.vault.seal(value))


def config(key: str | None = None, **proposer: str) -> PromptLearningConfig:
    section: dict[str, Any] = {
        "algorithm": "gepa",
        "task_app_url": "http://127.0.0.1:1",
        "proposer": proposer,
    }
    return PromptLearningConfig.from_mapping(section | ({"task_app_api_key": key} if key else {}))


def test_a_job_sees_what_configures_jobs_and_nothing_else(environment: JobEnvironment) -> None:
    keep(environment, "", "UPLOADED_API_KEY", "sk-uploaded")
    keep(environment, "pl_1", "ENVIRONMENT_API_KEY", "own-key")
    keep(environment, "pl_2", "OTHERS_API_KEY", "sk-other")
    seen = environment.of(JOB)
    assert not {"PATH", "CLOUD_SECRET", "OTHERS_API_KEY"} & seen.keys()
    assert seen["UPLOADED_API_KEY"] == "sk-uploaded"
    assert seen["ENVIRONMENT_API_KEY"] == "own-key", "what came with the job is nearer than the server's"
    assert replace(environment, passed=["CLOUD_SECRET"]).of(JOB)["CLOUD_SECRET"] == "sk-cloud"


@pytest.mark.parametrize(
    ("address", "there"), [("http://elsewhere/v1", False), (SERVER["PARETUNE_PROPOSER_BASE_URL"], True)]
)
def test_the_servers_proposer_key_goes_to_no_endpoint_of_a_document(
    environment: JobEnvironment, address: str, there: bool
) -> None:
    document = {"prompt_learning": {"proposer": {"base_url": address}}}
    assert ("PARETUNE_PROPOSER_API_KEY" in environment.of(replace(JOB, document=document))) == there
    keep(environment, "", "PARETUNE_PROPOSER_API_KEY", "sk-uploaded")
    assert ("PARETUNE_PROPOSER_API_KEY" in environment.of(replace(JOB, document=document))) == there


def test_a_document_may_name_only_what_is_for_jobs(environment: JobEnvironment) -> None:
    keep(environment, "", "UPLOADED_API_KEY", "sk-uploaded")
    for fine in (None, "written-out", "$ENVIRONMENT_API_KEY", "${UPLOADED_API_KEY}"):
        environment.refuse_others(config(fine))
    keep(environment, "", "OPENAI_API_KEY", "sk-uploaded")
    for name in ("CLOUD_SECRET", "OPENAI_API_KEY", "PARETUNE_PROPOSER_API_KEY"):
        with pytest.raises(Misconfigured, match=rf"task_app_api_key: {name} .*--pass {name}"):
            environment.refuse_others(config(f"${name}"))
        with pytest.raises(Misconfigured, match=f"api_key_env: {name}"):
            environment.refuse_others(config(api_key_env=name))
        replace(environment, passed=[name]).refuse_others(config(f"${name}", api_key_env=name))


def test_texts_name_secrets_and_do_not_tell_them() -> None:
    text = "sk-openai was refused at http://127.0.0.1:8080/v1"
    assert without(text, SERVER) == "$OPENAI_API_KEY was refused at http://127.0.0.1:8080/v1"
    assert without("sk-longer", {"A": "sk", "B": "sk-longer"}) == "$B"


def test_a_document_may_name_specifications_in_the_servers_folder_only(
    environment: JobEnvironment, tmp_path: Path
) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs/bank.md").write_text("## Answer with a label")
    named = PromptLearningConfig.from_mapping(
        {
            "algorithm": "gepa",
            "task_app_url": "http://127.0.0.1:8001",
            "gepa": {"proposer_type": "spec", "spec_path": "bank.md"},
        }
    )
    with pytest.raises(Misconfigured, match="no file is read here"):
        environment.refuse_others(named)
    assert environment.of(JOB)["PARETUNE_SPECS"] == ""
    open_to_specs = replace(environment, server={**SERVER, "PARETUNE_SPECS": str(tmp_path / "specs")})
    open_to_specs.refuse_others(named)
    assert open_to_specs.of(JOB)["PARETUNE_SPECS"] == str(tmp_path / "specs")
