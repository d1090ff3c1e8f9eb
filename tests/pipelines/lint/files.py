"""The good example as documents, and linting what a test made of it."""

from pathlib import Path

import yaml
from kfp import compiler

from pipelines.lint import lint

EXAMPLES = Path(__file__).parents[1] / "broken"
DIGEST = "@sha256:" + "0123456789abcdef" * 4
IMAGE = f"registry.example.com/team/train{DIGEST}"
LOOP = "comp-exit-handler-1"


def documents():
    return list(yaml.safe_load_all((EXAMPLES / "good.yaml").read_text()))


def lint_documents(folder, *parts, **options):
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump_all(parts))
    return lint(path, **options)


def compile_to(folder, pipeline):
    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return path


def tasks(spec, component=LOOP):
    return {**spec["components"], "root": spec["root"]}[component]["dag"]["tasks"]


def container(spec, name="train"):
    return spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"]


def configs(platform):
    return platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
