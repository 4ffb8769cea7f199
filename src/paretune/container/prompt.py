"""What a task function is handed and what it gives back."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field

from paretune.core.canonical import JsonValue
from paretune.core.rollout import Usage

CHAT_ROLES = frozenset({"system", "user", "assistant", "developer"})


class BadRequest(ValueError):
    """The caller can mend it: answered with 4xx and this code and text."""

    def __init__(self, code: str, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True)
class Part:
    """One message: its role, and the component with its text or, for a fixed message, the text itself."""

    role: str
    component: str
    fixed: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The candidate under test, and the public settings of the model that is to read it.

    `components` maps names to texts. `policy` holds model, provider, temperature and the like.
    """

    components: Mapping[str, str]
    layout: tuple[Part, ...] = ()
    policy: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The only component, or the first one."""
        return next(iter(self.components.values()))

    def messages(self, **values: object) -> list[dict[str, str]]:
        """Chat messages with each `{name}` replaced by its value; braces that name nothing stay.

        Without a layout each component is a message, of the role it is named for, else of the system.
        """
        layout = self.layout or tuple(Part(_role(name), name) for name in self.components)
        return [
            {"role": part.role, "content": fill(self.components.get(part.component, part.fixed), values)}
            for part in layout
        ]


@dataclass(frozen=True, slots=True)
class Result:
    """What one rollout came to: a finite reward, higher is better, and what a proposer can learn from it."""

    reward: float
    input: str = ""
    output: str = ""
    expected: str = ""
    feedback: str = ""
    objectives: Mapping[str, float] = field(default_factory=dict)
    usage: Usage | Mapping[str, JsonValue] | None = None
    trace: JsonValue = None


def as_result(value: object) -> Result:
    """The Result in what a task function returned. Raises ValueError unless every number is finite."""
    result = value if isinstance(value, Result) else Result(_finite("reward", value))
    _finite("reward", result.reward)
    for name, score in result.objectives.items():
        _finite(f"objective {name}", score)
    return result


def _finite(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"the {name} must be a number, not {type(value).__name__}")
    if not math.isfinite(value):
        raise ValueError(f"the {name} must be finite, not {value}")
    return float(value)


def fill(text: str, values: Mapping[str, object]) -> str:
    """`text` with each `{name}` replaced literally; a value that holds braces is not read again."""
    if not values:
        return text
    done: list[str] = []
    rest = text
    while True:
        found = [(at, name) for name in values if (at := rest.find("{" + name + "}")) >= 0]
        if not found:
            return "".join((*done, rest))
        at, name = min(found)
        done += [rest[:at], str(values[name])]
        rest = rest[at + len(name) + 2 :]


def read_prompt(request: Mapping[str, JsonValue], layout: tuple[Part, ...] = ()) -> Prompt:
    """The prompt in a rollout request of either dialect. Raises BadRequest if there is none.

    `layout` is the container's own, for requests that carry no messages.
    """
    policy = _object(request.get("policy"))
    settings = {key: value for key, value in policy.items() if key != "config"}
    settings |= _object(policy.get("config"))
    template = settings.pop("prompt_template", None)
    components = _components(request) or _template_components(template)
    if not components:
        message = "the request holds no prompt: neither candidate nor policy.config.prompt_template"
        raise BadRequest("missing_candidate", message)
    said = _messages(template)
    if any(name in components for _, name, _ in said):
        layout = tuple(_part(components, *message) for message in said)
    elif any(part.component not in components and not part.fixed for part in layout):
        layout = ()
    return Prompt(components, layout, settings)


def _part(components: Mapping[str, str], role: str, name: str, text: str) -> Part:
    """A message is what it says; it need not be a component."""
    return Part(role, name) if components.get(name) == text else Part(role, "", text)


def _components(request: Mapping[str, JsonValue]) -> dict[str, str]:
    overlay = _object(_object(request.get("candidate_overlay")).get("candidate"))
    return _texts(_object(request.get("candidate"))) or _texts(overlay)


def _template_components(template: JsonValue) -> dict[str, str]:
    if isinstance(template, str):
        return {"prompt": template}
    listed = {name: text for _, name, text in _messages(template)}
    return listed or _texts(_object(template))


def _messages(template: JsonValue) -> list[tuple[str, str, str]]:
    """(role, component, text) in order."""
    body = _object(template)
    listed = body.get("messages") or body.get("sections")
    rows = [row for row in (listed if isinstance(listed, list) else []) if isinstance(row, Mapping)]
    rows.sort(key=lambda row: order if isinstance(order := row.get("order"), int) else 0)
    messages = []
    for place, row in enumerate(rows):
        text = row.get("content") or row.get("pattern")
        name = row.get("name") or f"message_{place}"
        if isinstance(text, str):
            messages.append((str(row.get("role") or "system"), str(name), text))
    return messages


def _role(component: str) -> str:
    return component if component in CHAT_ROLES else "system"


def _object(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: Mapping[str, JsonValue]) -> dict[str, str]:
    return {str(key): text for key, text in value.items() if isinstance(text, str)}
