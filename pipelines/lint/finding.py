"""What the linter reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One fault of a compiled pipeline: the place, what is wrong there and the remedy."""

    severity: Severity
    rule: str
    where: str
    message: str


def exit_status(findings: Sequence[Finding]) -> int:
    """0 if nothing was found, 1 if warnings only, 2 if there is an error."""
    if not findings:
        return 0
    return 2 if any(finding.severity == "error" for finding in findings) else 1
