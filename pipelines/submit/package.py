"""A compiled pipeline: its name, and the parameters that a run of it may set."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from components.errors import InputError
from pipelines.document import read_documents
from pipelines.suggest import suggest


@dataclass(frozen=True)
class Package:
    """What `fourstep compile` has written; `inputs` are the names of the pipeline's parameters."""

    path: Path
    name: str
    inputs: tuple[str, ...]


def read_package(path: Path) -> Package:
    """Read the name and inputs of a compiled pipeline.

    Raises:
        InputError: the file cannot be read, or is no compiled pipeline.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(f"{path}: the server takes a name that ends in .yaml only")
    documents = read_documents(path)
    return Package(path, documents.name, documents.inputs)


def check_parameters(package: Package, names: Iterable[str]) -> None:
    """Refuse names of parameters that the pipeline does not have.

    Raises:
        InputError: names the first of them, and what is like it.
    """
    for name in names:
        if name not in package.inputs:
            raise InputError(
                f"{package.path}: the pipeline has no parameter '{name}'"
                f"{suggest(name, package.inputs)}"
            )
