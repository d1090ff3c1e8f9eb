"""A linter of compiled Kubeflow pipelines, anyone's; the rules are listed in docs/lint.md."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pipelines.document import read_documents
from pipelines.lint.caching import cached_exit_handlers
from pipelines.lint.cycles import cycles
from pipelines.lint.dangling import dangling
from pipelines.lint.equal_containers import equal_containers
from pipelines.lint.finding import Finding, exit_status
from pipelines.lint.gpu import gpu
from pipelines.lint.images import mutable_images
from pipelines.lint.object_names import object_names
from pipelines.lint.pipeline import Pipeline
from pipelines.lint.placeholders import placeholders, platform_references
from pipelines.lint.retries import retries
from pipelines.lint.schema import parse
from pipelines.lint.secrets import secret_literals
from pipelines.lint.size import sizes
from pipelines.lint.unresolved import unresolved
from pipelines.lint.unused import unused_inputs

__all__ = ["Finding", "exit_status", "lint"]


def lint(path: Path, *, local_tags: bool = False) -> list[Finding]:
    """What is wrong with a compiled pipeline, errors first.

    Args:
        path: the file that kfp's compiler wrote: one or two YAML documents, or JSON.
        local_tags: whether an image may be named by a tag ``sha-<12 or more hex digits>``.

    Raises:
        InputError: the file cannot be read or is no compiled pipeline.
    """
    documents = read_documents(path)
    pipeline, findings = parse(documents)
    named = object_names(pipeline) if pipeline is not None else frozenset()
    secrets = secret_literals(documents, named)
    findings += [finding for finding, _ in secrets]
    if pipeline is not None:
        findings += _rules(pipeline, local_tags)
    hidden = sorted({secret for _, secret in secrets}, key=len, reverse=True)
    unique = dict.fromkeys(_hide(finding, hidden) for finding in findings)
    return sorted(unique, key=lambda finding: finding.severity)


def _rules(pipeline: Pipeline, local_tags: bool) -> Iterator[Finding]:
    yield from dangling(pipeline)
    yield from cycles(pipeline)
    yield from placeholders(pipeline)
    yield from platform_references(pipeline)
    yield from unresolved(pipeline)
    yield from equal_containers(pipeline)
    yield from unused_inputs(pipeline)
    yield from mutable_images(pipeline, local_tags)
    yield from gpu(pipeline)
    yield from retries(pipeline)
    yield from cached_exit_handlers(pipeline)
    yield from sizes(pipeline)


def _hide(finding: Finding, secrets: list[str]) -> Finding:
    """The finding without secrets that a message may have quoted."""
    message = finding.message
    if finding.rule != "secret":
        for secret in secrets:
            message = message.replace(secret, "[secret]")
    return replace(finding, message=message)
