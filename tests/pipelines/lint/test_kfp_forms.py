"""All of kfp's forms: loops, branches, importers, nested pipelines."""

import json
from typing import NamedTuple

import yaml
from kfp import dsl, kubernetes

from pipelines.lint import lint
from tests.pipelines.lint.components import collect, dataset, notify, numbers, read, shell, work
from tests.pipelines.lint.files import compile_to


class Inner(NamedTuple):
    value: int
    data: dsl.Dataset


@dsl.pipeline
def inner(k: int, data: dsl.Input[dsl.Dataset]) -> Inner:
    done = work(x=k)
    made = dataset(x=k).after(done)
    read(data=data)
    return Inner(done.outputs["number"], made.outputs["data"])


@dsl.pipeline(name="everything")
def everything(
    n: int = 3,
    items: list[int] = [1, 2],  # noqa: B006
    rows: list[dict] = [{"a": 1, "b": "x"}],  # noqa: B006
    uri: str = "gs://bucket/data",
    login: str = "login",
    taints: dict = {"operator": "Exists"},  # noqa: B006
    memory: str = "1Gi",
) -> int:
    with dsl.ExitHandler(notify().set_caching_options(False), name="guard"):
        made = numbers(n=n)
        with dsl.ParallelFor(items, parallelism=2) as item:
            done = work(x=item)
            part = dataset(x=done.outputs["number"])
            with dsl.If(item == 2):
                task = work(x=n)
                kubernetes.use_secret_as_env(task, login, {"password": "PASSWORD"})
                kubernetes.add_toleration_json(task, taints)
        collect(parts=dsl.Collected(part.outputs["data"]))
        imported = dsl.importer(
            artifact_uri=uri, artifact_class=dsl.Dataset, reimport=False, metadata={"n": n}
        )
        with dsl.If(work(x=n).outputs["text"] == "a"):
            first = work(x=1)
        with dsl.Elif(n == 2):
            second = work(x=2)
        with dsl.Else():
            third = work(x=3)
        text = dsl.OneOf(first.outputs["text"], second.outputs["text"], third.outputs["text"])
        shell(a=text).set_cpu_limit("2").set_retry(2)
        with dsl.If(n == 1), dsl.ParallelFor(rows) as row:
            work(x=row.a)
        with dsl.ParallelFor(made.outputs["Output"]) as number:
            work(x=number)
        nested = inner(k=n, data=made.outputs["out"])
        read(data=nested.outputs["data"]).after(nested)
        read(data=imported.output)
        volume = kubernetes.CreatePVC(
            pvc_name_suffix="-x", access_modes=["ReadWriteOnce"], size="5Gi"
        )
        user = work(x=nested.outputs["value"])
        kubernetes.mount_pvc(user, volume.outputs["name"], "/data")
        kubernetes.DeletePVC(pvc_name=volume.outputs["name"]).after(user)
    with dsl.ParallelFor([{"a": 1}]) as row:
        work(x=row.a, text=f"{n} of {uri}")
    last = work(x=5, text="a").set_memory_limit(memory).ignore_upstream_failure()
    return last.outputs["number"]


def test_nothing_is_found_in_loops_branches_importers_and_nested_pipelines(tmp_path):
    path = compile_to(tmp_path, everything)
    assert len(list(yaml.safe_load_all(path.read_text()))) == 2
    assert lint(path) == []


def test_one_document_and_json_are_read(tmp_path):
    spec, _ = yaml.safe_load_all(compile_to(tmp_path, everything).read_text())
    for text in (yaml.safe_dump(spec), json.dumps(spec), json.dumps(spec, indent="\t")):
        path = tmp_path / "one"
        path.write_text(text)
        # Only the platform document read these two.
        assert {f.where.rpartition(".")[2] for f in lint(path)} == {"login", "taints"}
        assert {f.rule for f in lint(path)} == {"unused-input"}
