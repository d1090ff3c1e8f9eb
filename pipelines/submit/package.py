"""What is uploaded: a compiled pipeline, and the parameters that a run of it may set."""

from collections.abc import Iterable
from pathlib import Path

from components.errors import InputError
from pipelines.document import Documents, read_documents
from pipelines.suggest import suggest


def read_package(path: Path) -> Documents:
    """Read a compiled pipeline that has a name, from a file that the server takes.

    Raises:
        InputError: the file cannot be read, or is no compiled pipeline.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(f"{path}: the server takes a name that ends in .yaml only")
    documents = read_documents(path)
    _ = documents.name
    return documents


def check_parameters(package: Documents, names: Iterable[str]) -> None:
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
