"""The end of a failed task's log, as a person wants to read it.

A pod's log holds more than the stage's own lines: Argo's emissary starts Kubeflow's launcher, and
that starts the stage. Each reports on itself, and none of that says why a stage has failed.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from pipelines.submit.errors import ServerError, not_kfp
from pipelines.submit.server import Server

SHOWN = 12
"""How many lines are shown."""
_READ = 65536
_GLOG = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.-]+:\d+\] (.*)")
_ARGO = re.compile(r'(time=\S.* level=|\{"time":).*\bargo"?[=:]"?true\b.*')
_ENDED = re.compile(
    r"(?:Component failed to execute successfully|failed to execute component|Error): "
    r"(exit status \d+|signal: .+)"
)
_PAGE = re.compile(r"\s*<(!doctype )?html\b", re.IGNORECASE)
_CHAINED = ("The above exception was the direct cause", "During handling of the above exception")


@dataclass(frozen=True)
class Log:
    """What the end of a log says."""

    lines: tuple[str, ...]
    """The last lines of the stage and the launcher's own error, if it has one."""
    ended: str
    """How the stage's process ended, as the launcher says: ``exit status 1``; may be empty."""

    def refusal(self, task: str) -> bool:
        """Whether the stage has refused its input: then the same input fails again.

        It says so in its last line, behind its name, and ends with status 1
        (`components.errors.refusals_said`); an error of Python's has no name of a stage there.
        """
        stage, colon, _ = self.lines[-1].partition(": ") if self.lines else ("", "", "")
        named = colon and f"{task}-".startswith(f"{stage.replace('_', '-')}-")
        return bool(named) and self.ended == "exit status 1"


def read_log(server: Server, run_id: str, node: str) -> Log:
    """The end of the log of a node's pod, which runs or is archived.

    Raises:
        ServerError: the server has no log of it, or cannot be asked.
    """
    text = _end_of_log(server, run_id, node)
    if _PAGE.match(text):
        raise not_kfp(server.host)
    # The server has answered 200 before it looks for the log: an error comes at the text's end.
    before, brace, error = text.rpartition('{"error_message":')
    if brace:
        try:
            message = json.loads(brace + error)["error_message"]
        except ValueError:
            pass  # a stage has printed it
        else:
            if not before.strip():
                raise ServerError(server.clean(message))
            text = before
    if len(text.encode()) >= _READ and "\n" in text:
        text = text.partition("\n")[2]  # the first line is cut
    log = parse_log(text)
    return Log(tuple(map(server.clean, log.lines)), server.clean(log.ended))


def _end_of_log(server: Server, run_id: str, node: str) -> str:
    try:
        return server.tail(f"/apis/v1alpha1/runs/{quote(run_id)}/nodes/{quote(node)}/log", _READ)
    except ServerError as error:
        if error.status != 404:
            raise
    # Kubeflow's UI hands on the other paths of the API. For logs it has its own, which asks for a
    # pod, and takes the workflow's and the node's name from this form of a pod's name only.
    workflow, _, number = node.rpartition("-")
    query = {"runid": run_id, "podname": f"{workflow}-system-container-impl-{number}"}
    if server.multi_user and server.connection.namespace:
        query["podnamespace"] = server.connection.namespace
    return server.tail(f"/k8s/pod/logs?{urlencode(query)}", _READ)


def parse_log(text: str) -> Log:
    """The stage's last lines, without what the launcher, Argo and Python's tracebacks add."""
    own: list[str] = []
    fatal, ended = "", ""
    for line in _without_metadata(text.split("\n")):
        glog = _GLOG.fullmatch(line)
        if found := _ENDED.fullmatch(glog[2] if glog else line):
            ended = ended or found[1]
        elif glog:
            fatal = glog[2] if glog[1] == "F" else fatal
        elif not _ARGO.fullmatch(line):
            own.append(line)
    lines = [*_without_tracebacks(own), *filter(None, [fatal])]
    return Log(tuple(lines[-SHOWN:]), ended)


def _without_metadata(lines: Iterable[str]) -> Iterator[str]:
    """The lines, of a progress bar the last state; without the JSON that the launcher prints."""
    inside = False
    for line in lines:
        if inside:
            inside = line != "}"
        elif _GLOG.fullmatch(line) and line.endswith("{"):
            inside = True
        else:
            yield line.rstrip().rpartition("\r")[2]


def _without_tracebacks(lines: Iterable[str]) -> Iterator[str]:
    """The lines; of a traceback only the last, which names the error."""
    inside = False
    for line in lines:
        if line.startswith("Traceback (most recent call last)"):
            inside = True
        elif not (inside and line.startswith(" ")) and line.strip():
            inside = False
            if not line.startswith(_CHAINED):
                yield line
