"""Tasks of the Kubeflow pipeline: a stage's component, wired and placed on the cluster."""

from collections.abc import Mapping
from typing import Any

from kfp import dsl

from components.contract import Resources, Scratch, load_stage, roles
from components.kubeflow import SCRATCH
from pipelines.container import check_component, stage_component
from pipelines.placement import DATA, mount, place, place_pod, use
from pipelines.profile import Profile
from pipelines.sections import PIPELINES, section_of, stage_of

CHECK_PARAMS = Resources(image="data", cpu=1, memory_gib=1)
"""What check_params asks for; it is a command of `fourstep` and no stage."""


class Tasks:
    """Makes tasks, each of them by the name that its stage has in dvc.yaml."""

    def __init__(
        self,
        pipeline: str,
        inputs: Mapping[str, Any],
        images: Mapping[str, str],
        profile: Profile,
        commit: str = "",
    ) -> None:
        """The pipeline's name and inputs, the images by role, where they run, and their commit."""
        self.pipeline = pipeline
        self.inputs = inputs
        self.images = images
        self.profile = profile
        self.commit = commit

    def __call__(
        self, name: str, *, step: int | None = None, of: str = "", **inputs: Any
    ) -> dsl.PipelineTask:
        """The task for one use of a stage.

        Its parameters are the section of its name; fetch_data and check_data have none, and take
        the data's version.

        Args:
            name: the stage's name, with a number if it is used several times.
            step: of the four steps; the task and its artifacts are named by it.
            of: what its artifacts are named by if it is not one of the steps; see
                `components.kubeflow.PREFIX`.
            inputs: outputs of other tasks by input name; a string is a path in the container.
        """
        section, stage = section_of(name), stage_of(name)
        of = of if step is None else f"step_{step}"
        declaration: Any = load_stage(stage)
        fixed = {k: v for k, v in inputs.items() if isinstance(v, str)}
        wired = {k: v for k, v in inputs.items() if k not in fixed}
        for field, role in roles(declaration).items():
            if isinstance(role, Scratch):
                fixed[field] = f"{SCRATCH}/{name}"
        given = {"parameters": self.inputs.get(section, self.inputs["dvc_version"])}
        # Kubeflow's cache key has no digest of data: their version has to be an input itself. Who
        # takes the index needs no other: Kubeflow numbers it anew whenever it is made.
        reads_data = "data" in inputs and "index" not in inputs and section in self.inputs
        keyed = ["dvc_version"] if reads_data else []
        image = self.images[declaration.resources.image]
        component = stage_component(
            name,
            stage,
            image,
            inputs=wired,
            fixed=fixed,
            prefix=of and f"{of}_",
            cache_key=keyed,
        )
        task = component(**given, **wired, **{key: self.inputs[key] for key in keyed})
        place(task, name, declaration.resources, self.profile, self.pipeline, self.commit)
        task.set_display_name(name if step is None else f"Step {step}: {section}")
        if self.profile.data.volume and "data" in fixed:
            mount(task, self.profile.data.volume, DATA)
        return task

    def checked_source(self) -> dict[str, Any]:
        """The data and their index, after the tasks before anything expensive starts.

        They check all settings, that the data are data.dvc's, and the data themselves.
        """
        data, checked = self.data(after=self.check_params())
        validation = self("validate_data", of="data", data=data).after(checked)
        return {"data": data, "index": validation.outputs["data_index"]}

    def deploy(self, source: Mapping[str, Any], network: Any, evaluation: dsl.PipelineTask) -> None:
        """The tasks that bring an evaluated network to the registry: as ONNX, proven equal."""
        model = self("export_onnx", of="onnx", detector=network).outputs["onnx_model"]
        validation = self("validate_onnx", of="onnx", **source, detector=network, model=model)
        self(
            "register_model",
            model=model,
            evaluation=evaluation.outputs["evaluation_metrics"],
            validation=validation.outputs["onnx_metrics"],
            index=source["index"],
        )

    def check_params(self) -> dsl.PipelineTask:
        """The task that checks all sections, which could have been changed in Kubeflow's pages."""
        sections = {name: self.inputs[name] for name in PIPELINES[self.pipeline]}
        component = check_component("check_params", self.images[CHECK_PARAMS.image], list(sections))
        task = component(**sections).set_display_name("check_params")
        place_pod(task, "check_params", CHECK_PARAMS, self.profile)
        return task

    def data(self, *, after: dsl.PipelineTask) -> tuple[Any, dsl.PipelineTask]:
        """The data set by the profile's way: a mounted folder, an object store, or a DVC remote.

        Returns:
            The path in the container, or the output of the task that brings it; and the task that
            has found them to be the version of data.dvc.
        """
        ways = self.profile.data
        if ways.dvc:
            given = {"remote": ways.dvc.remote, "endpoint_url": ways.dvc.endpoint_url}
            address: dict[str, Any] = {k: v for k, v in given.items() if v}
            fetch = self("fetch_data", **address).after(after)
            if ways.dvc.secret:
                use(fetch, ways.dvc.secret)
            return fetch.outputs["data"], fetch
        data: Any = DATA
        if ways.uri:
            imported = dsl.importer(artifact_uri=ways.uri, artifact_class=dsl.Dataset)
            data = imported.after(after).outputs["artifact"]
        check = self("check_data", data=data).after(after)
        check.set_caching_options(False)  # the data may have changed without Kubeflow's knowledge
        return data, check
