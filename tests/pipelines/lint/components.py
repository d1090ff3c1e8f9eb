"""Components for the pipelines that the tests compile."""

from typing import NamedTuple

from kfp import dsl

from tests.pipelines.lint.files import IMAGE


class Pair(NamedTuple):
    number: int
    text: str


@dsl.component(base_image=IMAGE)
def numbers(n: int, out: dsl.Output[dsl.Dataset]) -> list[int]:
    return list(range(n))


@dsl.component(base_image=IMAGE, packages_to_install=["numpy==2.4.6"])
def work(x: int, text: str = "hi") -> NamedTuple("Pair", [("number", int), ("text", str)]):
    return (x, text)


@dsl.component(base_image=IMAGE)
def dataset(x: int, data: dsl.Output[dsl.Dataset]):
    pass


@dsl.component(base_image=IMAGE)
def collect(parts: dsl.Input[list[dsl.Dataset]]) -> int:
    return len(parts)


@dsl.component(base_image=IMAGE)
def read(data: dsl.Input[dsl.Dataset], weight: float = None):  # noqa: RUF013 (kfp has no unions)
    pass


@dsl.component(base_image=IMAGE)
def notify(status: dsl.PipelineTaskFinalStatus, word: str = "done"):
    pass


@dsl.container_component
def shell(a: str, model: dsl.Output[dsl.Model], loss: dsl.OutputPath(float), b: int = 1):
    flags = [dsl.IfPresentPlaceholder("b", then=["--b", b]), dsl.ConcatPlaceholder(["--a=", a])]
    return dsl.ContainerSpec(IMAGE, ["sh", "-c"], [*flags, model.path, loss, "{{$}}"])
