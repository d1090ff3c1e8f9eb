"""A compiled pipeline as a file: one or two YAML documents, or JSON."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.errors import InputError

COMPILE = "compile a pipeline with `kfp dsl compile` of kfp 2, or with `fourstep compile`"


@dataclass(frozen=True)
class Documents:
    """The two documents of a compiled pipeline as plain mappings; `platform` may be empty."""

    path: Path
    spec: dict[str, Any]
    platform: dict[str, Any]

    @property
    def name(self) -> str:
        """The pipeline's name.

        Raises:
            InputError: there is none.
        """
        name = self.spec["pipelineInfo"].get("name")
        if not name:
            raise InputError(f"{self.path}: the pipeline has no name; {COMPILE}")
        return str(name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the pipeline's parameters."""
        definitions = self.spec["root"].get("inputDefinitions") or {}
        return tuple(definitions.get("parameters") or {})


def read_documents(path: Path) -> Documents:
    """The documents of a compiled pipeline.

    Raises:
        InputError: the file cannot be read, is no YAML or JSON, or is no compiled pipeline.
    """
    documents = [document for document in _load(path) if document is not None]
    if not documents:
        raise InputError(f"{path}: is empty; {COMPILE}")
    if len(documents) > 2:
        raise InputError(
            f"{path}: holds {len(documents)} documents; a compiled pipeline has one or two"
        )
    for document in documents:
        if not isinstance(document, dict):
            raise InputError(f"{path}: is no mapping but {type(document).__name__}; {COMPILE}")
    spec, platform = documents[0], documents[1] if len(documents) > 1 else {}
    if spec.get("apiVersion"):
        raise InputError(f"{path}: is a Kubernetes manifest ({spec.get('kind')}); {COMPILE}")
    if missing := [key for key in ("pipelineInfo", "root") if not isinstance(spec.get(key), dict)]:
        keys = " and no ".join(missing)
        raise InputError(f"{path}: is no compiled pipeline: no {keys}; {COMPILE}")
    return Documents(path, spec, platform)


def _load(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
        if text.lstrip().startswith("{"):
            try:
                return [json.loads(text)]
            except json.JSONDecodeError:
                pass  # YAML's flow style begins with a brace, too
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return list(yaml.load_all(text, Loader=loader))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is no YAML ({_place(error)})") from None


def _place(error: yaml.YAMLError) -> str:
    """The place and kind of a syntax error, without the text there: it may hold a secret."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "syntax error"
    return f"line {mark.line + 1}: {problem}" if mark else str(problem)
