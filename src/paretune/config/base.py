"""What all sections share: unknown keys are errors with a suggestion, errors name field and fix."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from paretune.core.errors import Misconfigured, NotAvailable


class Section(BaseModel):
    """A section of the job document.

    `NOT_YET` names known keys whose behaviour is not built: they are refused, never ignored.
    `INSTEAD` names keys of older documents and what to write now.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    NOT_YET: ClassVar[frozenset[str]] = frozenset()
    INSTEAD: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, data: Any) -> Any:
        """A known key without a value asks for nothing, built or not."""
        if not isinstance(data, Mapping):
            return data
        idle = {*cls.NOT_YET, *cls.INSTEAD}
        return {key: value for key, value in data.items() if value is not None or key not in idle}


S = TypeVar("S", bound=Section)

_SECRET = re.compile(r"key|url|token|secret|password")
"""Fields whose values may hold a secret: an error does not repeat them."""


def read_section(section: type[S], data: Any, path: str) -> S:
    """Validate one section. Raises Misconfigured or NotAvailable naming the dotted field."""
    refuse_unknown(section, data, path)
    try:
        return section.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([path, *(str(part) for part in first["loc"])])
        message = first["msg"].removeprefix("Value error, ")
        shown = "" if _SECRET.search(where) else f" (got {_shown(first.get('input'))})"
        raise Misconfigured(where, message + shown) from error


def refuse_unknown(section: type[Section], data: Any, path: str) -> None:
    """Walk the mapping against the section's fields, nested sections included."""
    if not isinstance(data, Mapping):
        return
    for key, value in data.items():
        where = f"{path}.{key}"
        if key in section.NOT_YET:
            if value is not None:
                raise NotAvailable(where)
        elif key in section.INSTEAD:
            if value is not None:
                raise Misconfigured(where, section.INSTEAD[key])
        elif key not in section.model_fields:
            raise Misconfigured(where, "unknown key" + suggestion(key, section))
        else:
            _walk(section.model_fields[key].annotation, value, where)


def _walk(annotation: Any, value: Any, where: str) -> None:
    for kind in _sections_in(annotation):
        if isinstance(value, Mapping):
            refuse_unknown(kind, value, where)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                refuse_unknown(kind, item, f"{where}.{index}")


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
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
