"""Rule `secret`: nothing that looks like a secret stands in either document."""

import json
from collections.abc import Iterator
from typing import Any

from pipelines.document import Documents
from pipelines.lint.finding import Finding
from pipelines.lint.secret_shapes import ASSIGNMENTS, SHAPES, is_literal, is_secret_name

WRAPPERS = {"constant", "constantValue", "defaultValue", "runtimeValue", "stringValue"}
"""Keys around a value; its name stands above them."""
NAMES_OF_SECRETS = {"secretKey", "secretName", "secretNameParameter"}
REMEDY = (
    "everyone who sees the run can read it; take it from a Kubernetes Secret "
    "(kubernetes.use_secret_as_env) and revoke this one"
)


def secret_literals(documents: Documents, names: frozenset[str]) -> list[tuple[Finding, str]]:
    """Secret-looking literals, one finding a place, each with the secret itself.

    The findings' texts do not hold the secret.

    Args:
        documents: the compiled pipeline.
        names: the places of literals that name a Kubernetes object, such as a Secret. A secret's
            shape is found there too; what the literal is called means nothing.
    """
    found: dict[str, tuple[Finding, str]] = {}
    for document in (documents.spec, documents.platform):
        for where, what, secret in _walk(document, "", "", names):
            message = f"{what} ({len(secret)} characters, not shown here); {REMEDY}"
            found.setdefault(where, (Finding("error", "secret", where, message), secret))
    return list(found.values())


def _walk(
    value: Any, where: str, name: str, names: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str, str]]:
    """The (place, description, secret) triples below a value with a name."""
    if where in names:
        name = ""
    if isinstance(value, str):
        yield from _text(value, where, name)
    elif isinstance(value, list):
        yield from _flags(value, where)
        for number, item in enumerate(value):
            yield from _walk(item, f"{where}[{number}]", name, names)
    elif isinstance(value, dict):
        variable = value.get("name") if value.keys() == {"name", "value"} else None
        for key, item in value.items():
            below = name if key in WRAPPERS else str(key)
            if key == "value" and isinstance(variable, str):
                below = variable
            yield from _walk(item, f"{where}.{key}".lstrip("."), below, names)


def _text(text: str, where: str, name: str) -> Iterator[tuple[str, str, str]]:
    for what, shape in SHAPES.items():
        for match in shape.finditer(text):
            yield where, f"looks like {what}", match.group()
    if name not in NAMES_OF_SECRETS and is_secret_name(name) and is_literal(text):
        yield where, f"'{name}' has a literal value", text
    if text.lstrip().startswith(("{", "[")):
        try:
            yield from _walk(json.loads(text), where, name)
        except ValueError:
            pass
        else:
            return
    for pattern in ASSIGNMENTS:
        for variable, _, literal in pattern.findall(text):
            if is_secret_name(variable) and is_literal(literal):
                yield where, f"'{variable}' has a literal value", literal


def _flags(items: list[Any], where: str) -> Iterator[tuple[str, str, str]]:
    """Literals after flags such as ``--password``, as the next argument or after ``=``."""
    following = [*items[1:], ""][: len(items)]
    for number, (item, after) in enumerate(zip(items, following, strict=True)):
        if not isinstance(item, str) or not item.startswith("-") or "\n" in item:
            continue
        flag, equals, value = item.partition("=")
        own = bool(equals and value)
        literal = value if own else after
        if not isinstance(literal, str) or not is_secret_name(flag):
            continue
        if is_literal(literal) and not literal.startswith("-"):
            place = f"{where}[{number if own else number + 1}]"
            yield place, f"'{flag}' has a literal value", literal
