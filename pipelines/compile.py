"""Compile the pipeline for Kubeflow: one file with its two YAML documents."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kfp import compiler

from components.errors import InputError
from components.outputs import remove
from pipelines.four_step import four_step
from pipelines.profile import Profile
from pipelines.sections import check_sections, read_yaml
from pipelines.tasks import Tasks


def compile_pipeline(
    output: Path,
    *,
    sections: Mapping[str, Any],
    version: Mapping[str, Any],
    images: Mapping[str, str],
    profile: Profile,
    commit: str = "",
) -> None:
    """Write the compiled pipeline.

    Args:
        output: YAML file to write.
        sections: settings by section, the defaults of the pipeline's inputs.
        version: the data set's version, from `data_version`.
        images: image by role.
        profile: the cluster.
        commit: of the code that the images were built from, for MLflow.

    Raises:
        InputError: a setting is wrong.
    """
    check_sections(sections, "settings")
    defaults = {"data_version": dict(version)} | {k: dict(v or {}) for k, v in sections.items()}
    output.parent.mkdir(parents=True, exist_ok=True)
    aside = output.with_name(f".{output.stem}.partial.yaml")
    try:
        compiler.Compiler().compile(
            four_step(Tasks(images, profile, commit)), str(aside), pipeline_parameters=defaults
        )
        # kfp's comments list the inputs' defaults, in another order each time.
        text = "".join(x for x in aside.open() if not x.startswith("#"))
        aside.write_text(text)
        aside.replace(output)
    finally:
        remove(aside)


def data_version(file: Path) -> dict[str, Any]:
    """The digest, number of files and bytes that a .dvc file of one folder names.

    Raises:
        InputError: it is no such file.
    """
    outs = read_yaml(file).get("outs")
    if not (isinstance(outs, list) and len(outs) == 1 and isinstance(outs[0], dict)):
        raise InputError(f"{file}: must name one folder under 'outs', as `dvc add data` writes it")
    found = {key: outs[0][key] for key in ("md5", "nfiles", "size") if key in outs[0]}
    if outs[0].get("hash") != "md5" or not str(found.get("md5", "")).endswith(".dir"):
        raise InputError(f"{file}: has no md5 of a folder by DVC 3; write it with `dvc add data`")
    return found
