"""`fourstep lint`: print what the linter found."""

from collections.abc import Sequence
from pathlib import Path

import typer

from components.errors import InputError
from pipelines.lint import Finding, exit_status, lint

COLOURS = {"error": typer.colors.RED, "warning": typer.colors.YELLOW}


def lint_command(path: Path, *, local_tags: bool = False) -> int:
    """Lint a file, print what was found, and return the exit status.

    It is that of `exit_status`, and 2 for a file that cannot be linted: 1 means warnings only.
    """
    try:
        findings = lint(path, local_tags=local_tags)
    except InputError as error:
        typer.echo(f"fourstep: {error}", err=True)
        return 2
    print_findings(path, findings)
    return exit_status(findings)


def print_findings(path: Path, findings: Sequence[Finding]) -> None:
    """One line a finding: severity, rule, place and message; and a line that counts them."""
    rules = max((len(finding.rule) for finding in findings), default=0)
    for finding in findings:
        severity = typer.style(f"{finding.severity:<7}", fg=COLOURS[finding.severity])
        typer.echo(f"{severity}  {finding.rule:<{rules}}  {_line(finding)}")
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = len(findings) - errors
    counts = [_count(errors, "error"), _count(warnings, "warning")]
    typer.echo(f"{path}: {', '.join(text for text in counts if text) or 'nothing found'}")


def lint_or_fail(path: Path, *, local_tags: bool = False) -> None:
    """Lint a file and print what was found, if anything.

    Raises:
        typer.Exit: with status 2, if there is an error; warnings pass.
    """
    findings = lint(path, local_tags=local_tags)
    if findings:
        print_findings(path, findings)
    if (status := exit_status(findings)) > 1:
        raise typer.Exit(status)


def _line(finding: Finding) -> str:
    text = f"{finding.where}: {finding.message}" if finding.where else finding.message
    return " ".join(text.split())


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}" if number else ""
