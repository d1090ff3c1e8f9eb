"""Tasks of the Kubeflow pipeline: a stage's component, wired and placed on the cluster."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from kfp import dsl

from components.contract import Resources, Scratch, load_stage, roles
from pipelines.container import parameter, stage_component
from pipelines.placement import DATA, SCRATCH, mount, place, use
from pipelines.profile import Profile
from pipelines.sections import COMPONENTS

CHECK_PARAMS = Resources(image="data", cpu=1, memory_gib=1)
"""What check_params asks for; it is a command of `fourstep` and no stage."""


class Tasks:
    """Makes tasks, each of them by the name that its stage has in dvc.yaml."""

    def __init__(self, images: Mapping[str, str], profile: Profile, commit: str = "") -> None:
        """Images by role, where they run, and the commit that they were built from."""
        self.images = images
        self.commit = commit
        self.profile = profile
        self.data_version: Any = None

    def __call__(self, name: str, parameters: Any, **inputs: Any) -> dsl.PipelineTask:
        """The task for one use of a stage.

        Args:
            name: the stage's name, with a number if it is used several times.
            parameters: its section of params.yaml, a pipeline input.
            inputs: outputs of other tasks by input name; a string is a path in the container.
        """
        stage = stage_of(name)
        declaration: Any = load_stage(stage)
        fixed = {k: v for k, v in inputs.items() if isinstance(v, str)}
        wired = {k: v for k, v in inputs.items() if k not in fixed}
        for field, role in roles(declaration).items():
            if isinstance(role, Scratch):
                fixed[field] = f"{SCRATCH}/{name}"
        # Kubeflow's cache key has no digest of data: their version has to be an input itself.
        keyed = {}
        if "data" in inputs and parameters is not self.data_version:
            keyed["data_version"] = self.data_version
        image = self.images[declaration.resources.image]
        component = stage_component(name, stage, image, inputs=wired, fixed=fixed, cache_key=keyed)
        task = component(parameters=parameters, **wired, **keyed)
        place(task, name, declaration.resources, self.profile, self.commit)
        volume = self.profile.data.volume
        if volume and "data" in fixed:
            mount(task, volume, DATA)
        if stage == "check_data":  # what it looks at may have changed without Kubeflow's knowledge
            task.set_caching_options(False)
        return task

    def check_params(self, **sections: Any) -> dsl.PipelineTask:
        """The task that checks all sections, which could have been changed in Kubeflow's pages."""
        task = sections_component(self.images[CHECK_PARAMS.image], list(sections))(**sections)
        place(task, "check_params", CHECK_PARAMS, self.profile, self.commit)
        return task

    def data(self, version: Any, *, after: dsl.PipelineTask) -> Any:
        """The data set by the profile's way: a mounted folder, an object store, or `dvc pull`.

        Args:
            version: pipeline input with the digest and size that data.dvc names.
            after: the task that comes first.
        """
        self.data_version = version
        ways = self.profile.data
        if ways.dvc:
            address = {"remote": ways.dvc.remote, "endpoint_url": ways.dvc.endpoint_url}
            given = {flag: value for flag, value in address.items() if value}
            task = self("fetch_data", version, **given).after(after)
            if ways.dvc.secret:
                use(task, ways.dvc.secret)
            return task.outputs["data"]
        if ways.uri:
            imported = dsl.importer(artifact_uri=ways.uri, artifact_class=dsl.Dataset)
            return imported.after(after).outputs["artifact"]
        return DATA


def stage_of(name: str) -> str:
    """The stage of a task: generate_proposals_1 is one of generate_proposals."""
    section = name.rstrip("_0123456789")
    return COMPONENTS.get(section, section)


def sections_component(image: str, sections: Sequence[str]) -> Any:
    """The component of check_params: ``fourstep check`` with each section as JSON."""

    def check_params(*given: Any) -> dsl.ContainerSpec:
        *values, written = given
        pairs = zip(sections, values, strict=True)
        arguments = [w for name, value in pairs for w in ("--section", f"{name}={value}")]
        arguments += ["--write", written.path]
        return dsl.ContainerSpec(image, ["fourstep", "check"], arguments)

    check_params.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*(parameter(n, dict) for n in sections), parameter("sections", dsl.Output[dsl.Artifact])]
    )
    check_params.__doc__ = "Check every section of params.yaml before anything expensive starts."
    return dsl.container_component(check_params)
