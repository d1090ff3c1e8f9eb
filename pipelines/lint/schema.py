"""Rule `schema`: both documents are what kfp's protobufs say."""

import re
from importlib.metadata import version
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as pb2

from pipelines.document import Documents
from pipelines.lint.finding import Finding
from pipelines.lint.pipeline import Pipeline
from pipelines.suggest import suggest

KFP = version("kfp")
LATER_FIELDS = {"initContainers"}
"""Fields of an executor's configuration that kfp's repository has and its releases do not yet."""
UNKNOWN = "unknown field"
LATER = "a server without it refuses the run; a later one may take it"
EXECUTORS = "deploymentSpec.executors"
KUBERNETES = f"platforms.kubernetes.{EXECUTORS}"


def parse(documents: Documents) -> tuple[Pipeline | None, list[Finding]]:
    """The pipeline, or none if a part of it cannot be read at all; and what is wrong with it.

    A field that the protobufs do not know is reported and left out: an error, but a warning if a
    later kfp may know it.
    """
    parser = _Parser(newer=_is_newer(str(documents.spec.get("sdkVersion"))))
    spec, deployment = documents.spec, documents.spec.get("deploymentSpec")
    deployment = deployment if isinstance(deployment, dict) else {}
    parts = {"components", "root"}
    whole = parser.parse({k: v for k, v in spec.items() if k not in parts}, pb2.PipelineSpec(), "")
    if not whole.pipeline_info.name:
        parser.report("is missing; give the pipeline a name", "pipelineInfo.name")
    components = parser.parse_each(spec.get("components"), pb2.ComponentSpec, "components")
    components["root"] = parser.parse(spec["root"], pb2.ComponentSpec(), "root")
    rest = {k: v for k, v in deployment.items() if k != "executors"}
    parser.parse(rest, pb2.PipelineDeploymentConfig(), "deploymentSpec")
    executor = pb2.PipelineDeploymentConfig.ExecutorSpec
    executors = parser.parse_each(deployment.get("executors"), executor, EXECUTORS)
    platforms = parser.parse(documents.platform, pb2.PlatformSpec(), "").platforms
    platform = platforms["kubernetes"] if "kubernetes" in platforms else pb2.SinglePlatformSpec()
    structs = _executor_structs(documents)
    known = {
        label: parser.without_later(c, f"{KUBERNETES}.{label}") for label, c in structs.items()
    }
    configs = parser.parse_each(known, kubernetes_pb2.KubernetesExecutorConfig, KUBERNETES)
    pipeline = Pipeline(components, executors, configs, structs, platform.pipelineConfig)
    return (pipeline if parser.readable else None), parser.findings


def _executor_structs(documents: Documents) -> dict[str, dict[str, Any]]:
    """The raw configurations of the platform document, by executor label."""
    value: Any = documents.platform
    for key in KUBERNETES.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    found = value if isinstance(value, dict) else {}
    return {name: config for name, config in found.items() if isinstance(config, dict)}


class _Parser:
    """Parses messages and keeps what was wrong; `readable` is false if one could not be read."""

    def __init__(self, newer: bool) -> None:
        self.findings: list[Finding] = []
        self.readable = True
        self.newer = newer

    def without_later(self, config: dict[str, Any], where: str) -> dict[str, Any]:
        """An executor's configuration without fields of a later kfp, which are reported."""
        known = kubernetes_pb2.KubernetesExecutorConfig.DESCRIPTOR.fields_by_camelcase_name
        later = LATER_FIELDS.difference(known)
        for field in sorted(later & config.keys()):
            self.warn(f"kfp {KFP} does not know the field '{field}'; {LATER}", where)
        return {field: value for field, value in config.items() if field not in later}

    def parse_each(self, values: Any, message: Any, where: str) -> dict[str, Any]:
        """A message for each value of a mapping."""
        if values is not None and not isinstance(values, dict):
            self.report(f"must be a mapping, not {type(values).__name__}", where)
            self.readable = False
        found = values.items() if isinstance(values, dict) else ()
        return {str(k): self.parse(v, message(), f"{where}.{k}") for k, v in found}

    def parse(self, value: Any, message: Any, where: str) -> Any:
        """The message filled from a mapping; what it does not know is reported and left out."""
        if not isinstance(value, dict):
            self.report(f"must be a mapping, not {type(value).__name__}", where)
            self.readable = False
            return message
        try:
            return ParseDict(value, message)
        except ParseError as error:
            text, place = _explain(str(error))
            place = ".".join(part for part in (where, place) if part)
            if self.newer and text.startswith(UNKNOWN):
                self.warn(f"{text}; the file's sdkVersion is later than kfp {KFP}; {LATER}", place)
            else:
                self.report(text, place)
        message.Clear()
        try:
            return ParseDict(value, message, ignore_unknown_fields=True)
        except ParseError:
            self.readable = False
            message.Clear()
            return message

    def report(self, message: str, where: str) -> None:
        """Add an error."""
        self.findings.append(Finding("error", "schema", where, message))

    def warn(self, message: str, where: str) -> None:
        """Add a warning."""
        self.findings.append(Finding("warning", "schema", where, message))


def _is_newer(sdk: str) -> bool:
    """Whether a file comes from a kfp later than the one whose protobufs are used here."""
    theirs, ours = ([int(n) for n in re.findall(r"\d+", text)[:3]] for text in (sdk, KFP))
    return theirs > ours


def _explain(error: str) -> tuple[str, str]:
    """Message with remedy, and place within the parsed part, from the text of a ParseError."""
    first, _, rest = error.partition("\n")
    fields = re.findall(r"Failed to parse (\S+) field: ", first)
    text = re.sub(r"(Failed to parse \S+ field: )+", "", first).rstrip(".")
    place = ".".join(fields)
    if located := re.search(r' at "?(\w+(?:[.\[][^" ]*)?)"?$', text):
        text = text[: located.start()]
        place = located.group(1).partition(".")[2]
    if unknown := re.search(r'has no field named "([^"]*)"', text):
        name, known = unknown.group(1), re.findall(r"'(\w+)'", rest)
        return f"{UNKNOWN} '{name}'{suggest(name, known)}", place
    return f"{text}; write what kfp's protobuf says", place
