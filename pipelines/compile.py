"""Compile the pipeline for Kubeflow: one file with its two YAML documents."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler

from components.contract import load_stage
from components.dataset.dvc_version import DataVersion, check_digest
from components.errors import InputError
from pipelines.four_step import four_step
from pipelines.joint import joint
from pipelines.profile import Profile
from pipelines.sections import PIPELINES, STAGE_OF, check_section, flatten
from pipelines.waiting import say_waiting_once
from pipelines.yaml_file import read_yaml

FUNCTIONS = {"four-step": four_step, "joint": joint}
WEIGHTS = ("none", "crops", "torchvision")


def compile_pipeline(
    output: Path,
    *,
    pipeline: str = "four-step",
    sections: Mapping[str, Any],
    version: DataVersion,
    images: Mapping[str, str],
    profile: Profile,
    commit: str = "",
) -> None:
    """Write the compiled pipeline.

    Args:
        output: YAML file to write.
        pipeline: one of `PIPELINES`.
        sections: checked settings by section, the defaults of the pipeline's inputs.
        version: the data set's version.
        images: image by role.
        profile: the cluster.
        commit: of the code that the images were built from, for MLflow.

    Raises:
        InputError: a setting that has no fixed meaning on Kubeflow, or does not fit the GPUs.
    """
    used = {name: sections.get(name) or {} for name in PIPELINES[pipeline]}
    check_settings(used)
    check_mini_batches(used, profile.gpu.count)
    defaults = {"dvc_version": asdict(version)} | used
    output.parent.mkdir(parents=True, exist_ok=True)
    function = FUNCTIONS[pipeline](images, profile, commit)
    compiler.Compiler().compile(function, str(output), pipeline_parameters=defaults)
    spec, *platform = yaml.safe_load_all(output.read_text())
    say_waiting_once(spec)
    # Without kfp's comments, which list the inputs' defaults in another order each time.
    output.write_text(yaml.safe_dump_all([spec, *platform]))


def check_settings(sections: Mapping[str, Any]) -> None:
    """Refuse settings that Kubeflow's cache key, or its numbers, would not do justice to.

    Raises:
        InputError: names the setting.
    """
    for key, value in flatten(sections).items():
        if isinstance(value, int) and abs(value) > 2**53:
            raise InputError(f"{key}: {value} is not exact on Kubeflow, whose numbers are doubles")
    start = sections.get("init_backbone") or {}
    if start.get("weights", "none") not in WEIGHTS and not start.get("sha256"):
        raise InputError(
            f"init_backbone.weights: {start['weights']}: Kubeflow's cache knows a file by its path "
            "only; give its init_backbone.sha256, too"
        )


def check_mini_batches(sections: Mapping[str, Any], gpus: int) -> None:
    """Refuse mini-batches that the GPUs of the profile cannot share equally.

    Raises:
        InputError: names the setting and the number of GPUs.
    """
    for name, section in sections.items():
        stage = STAGE_OF[name]
        declaration: Any = load_stage(stage)
        if gpus > 1 and declaration.resources.several:
            images = check_section(stage, section).solver.images_per_batch
            if images % gpus:
                raise InputError(
                    f"{name}.solver.images_per_batch: {images} images cannot be shared equally by "
                    f"the profile's gpu.count, {gpus}; give a multiple of it"
                )


def dvc_version(file: Path) -> DataVersion:
    """The version that a .dvc file of one folder names.

    Raises:
        InputError: it is no such file.
    """
    outs = read_yaml(file).get("outs")
    if not (isinstance(outs, list) and len(outs) == 1 and isinstance(outs[0], dict)):
        raise InputError(f"{file}: must name one folder under 'outs', as `dvc add data` writes it")
    if outs[0].get("hash") != "md5":
        raise InputError(f"{file}: is not DVC 3's; write it again with `dvc add data`")
    try:
        counts = [int(outs[0].get(key, 0)) for key in ("nfiles", "size")]
        found = DataVersion(str(outs[0].get("md5", "")), *counts)
        check_digest(found.md5)
    except (TypeError, ValueError) as error:
        raise InputError(f"{file}: {error}; write it with `dvc add data`") from None
    return found
