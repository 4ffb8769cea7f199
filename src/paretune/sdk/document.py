"""The job document on its way to the server: read, renamed, overridden, its references looked up."""

from __future__ import annotations

import copy
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paretune.config.environment import resolve_key
from paretune.core.errors import Misconfigured
from paretune.sdk.backend import checked_key
from paretune.sdk.errors import InvalidJob

SECTION = "prompt_learning"
OTHER_SECTION = "policy_optimization"
TASK_KEY_VARIABLE = "ENVIRONMENT_API_KEY"

RENAMED = {
    "localapi_url": "task_app_url",
    "container_url": "task_app_url",
    "localapi_api_key": "task_app_api_key",
    "container_api_key": "task_app_api_key",
}
"""Later names of the same two settings -> the names that travel."""

BESIDE = frozenset({"backend", "task_url", "metadata", "auto_start"})
"""Overrides that are no part of the document."""

Document = dict[str, Any]


def read(path: str | Path) -> Document:
    """The TOML file as a mapping. Raises FileNotFoundError or InvalidJob."""
    path = Path(path)
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"no such file: {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidJob(str(path), f"cannot be read as TOML: {error}") from error


def as_prompt_learning(document: Mapping[str, Any]) -> Document:
    """A copy under the section and the names that travel. Raises InvalidJob if there is no section."""
    result = copy.deepcopy(dict(document))
    if SECTION in result and OTHER_SECTION in result:
        raise InvalidJob(OTHER_SECTION, f"the document has both this section and [{SECTION}]; keep one")
    if OTHER_SECTION in result:
        result[SECTION] = result.pop(OTHER_SECTION)
    elif SECTION not in result and "algorithm" in result:
        result = {SECTION: result}
    section = result.get(SECTION)
    if not isinstance(section, Mapping) or not section:
        raise InvalidJob(SECTION, f"the document has no [{SECTION}] section")
    result[SECTION] = _with_names(dict(section))
    return result


def _with_names(section: Document) -> Document:
    for old, name in RENAMED.items():
        value = section.pop(old, None)
        if value is not None and section.setdefault(name, value) != value:
            raise InvalidJob(f"{SECTION}.{old}", f"says something else than {name}; keep one")
    return section


def with_overrides(document: Document, overrides: Mapping[str, Any] | None) -> Document:
    """Merged key by key: `gepa.rollout.budget`, with or without the section in front, or nested tables.

    Raises InvalidJob where a dotted key leads through something that is no table.
    """
    result = copy.deepcopy(document)
    for dotted, value in (overrides or {}).items():
        if dotted in BESIDE:
            continue
        parts = str(dotted).split(".")
        if parts[0] in (SECTION, OTHER_SECTION):
            parts = parts[1:]
        tree: Any = copy.deepcopy(value)
        for part in reversed(parts):
            tree = {part: tree}
        if not isinstance(tree, Mapping):
            raise InvalidJob(f"overrides.{dotted}", "must be a table")
        _merge(result[SECTION], _with_names(dict(tree)), f"overrides.{dotted}")
    url = (overrides or {}).get("task_url")
    if url:
        result[SECTION]["task_app_url"] = url
    return result


def _merge(table: Document, change: Mapping[str, Any], where: str) -> None:
    for key, value in change.items():
        if isinstance(value, Mapping):
            inner = table.setdefault(key, {})
            if not isinstance(inner, dict):
                raise InvalidJob(where, f"leads through {key!r}, which is no table")
            _merge(inner, value, where)
        else:
            table[key] = value


def with_task_app(
    document: Document, api_key: str | None, environment: Mapping[str, str] = os.environ
) -> Document:
    """With the task app's address and key as the server needs them: `$NAME` replaced by what it names.

    The key is `api_key`, else the document's, else ENVIRONMENT_API_KEY; the address the document's, else
    TASK_APP_URL. Raises InvalidJob for a name that is not set, and without an address.
    """
    section = dict(document[SECTION])
    try:
        key = api_key or resolve_key(
            section.get("task_app_api_key"), f"{SECTION}.task_app_api_key", environment, TASK_KEY_VARIABLE
        )
        url = resolve_key(section.get("task_app_url"), f"{SECTION}.task_app_url", environment, "TASK_APP_URL")
    except Misconfigured as error:
        raise InvalidJob(error.field, error.problem) from None
    section["task_app_url"] = _task_app_url(url)
    if key := checked_key(f"{SECTION}.task_app_api_key", key):
        section["task_app_api_key"] = key
    return {**document, SECTION: section}


def _task_app_url(url: Any) -> str:
    if not isinstance(url, str) or not url:
        raise InvalidJob(f"{SECTION}.task_app_url", "missing: the address of the task app")
    if not url.startswith(("http://", "https://")):
        raise InvalidJob(f"{SECTION}.task_app_url", "must begin with http:// or https://")
    if "@" in url.split("//", 1)[1].split("/", 1)[0]:
        raise InvalidJob(f"{SECTION}.task_app_url", "must not hold a user or password; use task_app_api_key")
    return url


def need_algorithm(document: Document) -> str:
    """The document's algorithm. Raises InvalidJob if it names none."""
    algorithm = document[SECTION].get("algorithm")
    if not isinstance(algorithm, str) or not algorithm:
        raise InvalidJob(f"{SECTION}.algorithm", 'missing: "gepa" or "mipro"')
    return algorithm


def submission(
    document: Document, overrides: Mapping[str, Any] | None, allow_experimental: bool | None
) -> Document:
    """The body of a submit call. Overrides are merged already and told once more, without keys."""
    given = dict(overrides or {})
    metadata = dict(given.get("metadata") or {})
    if allow_experimental is not None:
        metadata["allow_experimental"] = allow_experimental
    told = {
        name: value for name, value in given.items() if name not in BESIDE and not _is_secret(name, value)
    }
    body = {
        "algorithm": need_algorithm(document),
        "config_body": document,
        "overrides": told,
        "metadata": metadata,
        "auto_start": bool(given.get("auto_start", True)),
    }
    return sendable(body)


def sendable(body: Document) -> Document:
    """`body`, if it can be written as JSON. Raises InvalidJob otherwise: for a date, say, or for NaN."""
    try:
        json.dumps(body, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJob("the job document", f"cannot be written as JSON: {error}") from None
    return body


def _is_secret(name: str, value: Any) -> bool:
    """True for a key, and for a table with one in it."""
    if str(name).rpartition(".")[2].endswith("api_key"):
        return True
    return isinstance(value, Mapping) and any(_is_secret(key, inner) for key, inner in value.items())
