"""What all sections share: unknown keys are errors with a suggestion, errors name field and fix."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from paretune.core.errors import Misconfigured, NotAvailable


class Section(BaseModel):
    """A section of the job document.

    `NOT_YET` names keys that clients know and whose shape nobody has written down: refused, never ignored.
    `INSTEAD` names keys of older documents and what to write now.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    NOT_YET: ClassVar[frozenset[str]] = frozenset()
    INSTEAD: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, data: Any) -> Any:
        """A known key without a value asks for nothing, unless it must be given."""
        if not isinstance(data, Mapping):
            return data
        for key in cls.INSTEAD:
            if data.get(key) is not None:
                raise ValueError(cls.INSTEAD[key])
        return {
            key: value for key, value in data.items() if value is not None or not cls._may_be_left_out(key)
        }

    @classmethod
    def _may_be_left_out(cls, key: str) -> bool:
        field = cls.model_fields.get(key)
        return key in cls.NOT_YET or key in cls.INSTEAD or (field is not None and not field.is_required())


S = TypeVar("S", bound=Section)

_SECRET = re.compile(r"key|url|backend_base|token|secret|password")
"""Fields whose values may hold a secret: an error does not repeat them."""


def read_section(section: type[S], data: Any, path: str) -> S:
    """Validate one section. Raises Misconfigured or NotAvailable naming the dotted field."""
    value, found = try_section(section, data, path)
    if value is None:
        raise found[0]
    return value


def try_section(section: type[S], data: Any, path: str) -> tuple[S | None, list[Misconfigured]]:
    """The section, or None and everything that is wrong with it."""
    found = list(_strays(section, data, path))
    try:
        value = section.model_validate(_without_strays(section, data))
    except ValidationError as error:
        known = {stray.field for stray in found}
        for detail in error.errors():
            where = ".".join([path, *(str(part) for part in detail["loc"])])
            if where not in known:
                found.append(_mistake(where, detail["msg"], detail.get("input")))
        return None, found
    return (None, found) if found else (value, [])


def _mistake(where: str, message: str, value: Any) -> Misconfigured:
    message = message.removeprefix("Value error, ")
    return Misconfigured(where, message + ("" if _SECRET.search(where) else _shown(value)))


def _strays(section: type[Section], data: Any, path: str) -> Iterator[Misconfigured]:
    """Keys that do not belong, nested sections included."""
    if not isinstance(data, Mapping):
        return
    for key, value in data.items():
        where = f"{path}.{key}"
        if key in section.NOT_YET:
            if value is not None:
                yield NotAvailable(where)
        elif key in section.INSTEAD:
            if value is not None:
                yield Misconfigured(where, section.INSTEAD[key])
        elif key not in section.model_fields:
            yield Misconfigured(where, "unknown key" + suggestion(str(key), section))
        else:
            for kind, inner, place in _nested(section, key, value, where):
                yield from _strays(kind, inner, place)


def _without_strays(section: type[Section], data: Any) -> Any:
    """The data as far as its keys are known, so that their values are looked at all the same."""
    if not isinstance(data, Mapping):
        return data
    kept: dict[Any, Any] = {}
    for key, value in data.items():
        if key in section.model_fields:
            kinds = _sections_in(section.model_fields[key].annotation)
            kept[key] = value
            for kind in kinds[:1]:
                if isinstance(value, list):
                    kept[key] = [_without_strays(kind, item) for item in value]
                else:
                    kept[key] = _without_strays(kind, value)
    return kept


def _nested(
    section: type[Section], key: str, value: Any, where: str
) -> Iterator[tuple[type[Section], Any, str]]:
    for kind in _sections_in(section.model_fields[key].annotation):
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield kind, item, f"{where}.{index}"
        else:
            yield kind, value, where


def _sections_in(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    arguments = getattr(annotation, "__args__", ())
    return [found for argument in arguments for found in _sections_in(argument)]


def suggestion(key: str, section: type[Section]) -> str:
    """What to write instead of an unknown key, as the end of a sentence."""
    names = [*section.model_fields, *section.NOT_YET]
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known keys: {', '.join(sorted(names))}"


def _shown(value: Any) -> str:
    """What was given, as the end of a sentence; nothing of a table, which may hold anything."""
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, str | int | float | None) for part in parts):
        return ""
    text = repr(value)
    return f" (got {text if len(text) <= 80 else text[:77] + '...'})"


def _can_be_sent(value: dict[str, Any] | None) -> dict[str, Any] | None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"holds what JSON cannot say: {error}") from None
    return value


Table = Annotated[dict[str, Any], AfterValidator(_can_be_sent)]
"""Settings whose names are not ours to know; handed on as JSON."""

MOST = 10**15
"""Larger numbers are slips, and fit neither a database nor a float exactly."""

Count = Annotated[int, Field(gt=0, le=MOST)]
Natural = Annotated[int, Field(ge=0, le=MOST)]
