"""What the conformance kit found, in words that a container's author can act on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "advice"]
MARKS = {"error": "FAIL", "warning": "WARN", "advice": "note"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `severity` says how bad it is if it is not `ok`; `fix` how to mend it.

    error: runs would fail or scores would be wrong. warning: they may. advice: runs would learn less.
    """

    name: str
    ok: bool
    severity: Severity
    explanation: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about one container, in the order of looking."""

    url: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True if nothing of severity `error` was found."""
        return not self.of("error")

    def of(self, severity: Severity) -> list[Finding]:
        """What was found wrong, of this severity."""
        return [finding for finding in self.findings if not finding.ok and finding.severity == severity]

    def render(self) -> str:
        """The report as plain text."""
        lines = [f"Container {self.url}", ""]
        for finding in self.findings:
            mark = " ok " if finding.ok else MARKS[finding.severity]
            lines.append(f"{mark}  {finding.name}: {finding.explanation}")
            if finding.fix and not finding.ok:
                lines.append(f"      fix: {finding.fix}")
        return "\n".join([*lines, "", self.verdict()])

    def verdict(self) -> str:
        errors, warnings, notes = (len(self.of(s)) for s in ("error", "warning", "advice"))
        rest = f"{_count(warnings, 'warning')}, {_count(notes, 'note')}"
        if errors:
            return f"This container does not conform: {_count(errors, 'error')}, {rest}."
        return f"This container conforms: {rest}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
