"""Images are named by digest."""

import pytest
from kfp import dsl

from pipelines.lint import lint
from tests.pipelines.lint.components import work
from tests.pipelines.lint.files import DIGEST, compile_to, container, documents, lint_documents


@pytest.mark.parametrize(
    ("image", "plain", "local"),
    [
        (f"name{DIGEST}", True, True),
        (f"host:5000/name:1.2{DIGEST}", True, True),
        ("fourstep/train:sha-0123456789ab", False, True),
        ("fourstep/train:sha-0123456789a", False, False),
        ("fourstep/train:sha-0123456789AB", False, False),
        ("python:3.11", False, False),
        ("python", False, False),
        ("host:5000/name", False, False),
        ("name@sha256:0123", False, False),
        ("", False, False),
        ("argostub/createpvc", True, True),
    ],
)
def test_images_pass_by_digest_and_local_tags_if_allowed(image, plain, local, tmp_path):
    spec, platform = documents()
    container(spec)["image"] = image
    for allowed, passes in ((False, plain), (True, local)):
        found = lint_documents(tmp_path, spec, platform, local_tags=allowed)
        assert [f.rule for f in found] == ([] if passes else ["mutable-image"])
        assert all(image in f.message for f in found)


def test_an_image_without_a_tag_means_latest(tmp_path):
    spec, platform = documents()
    container(spec)["image"] = "host:5000/name"
    (finding,) = lint_documents(tmp_path, spec, platform)
    assert "latest" in finding.message


def test_tasks_with_the_same_image_are_one_finding(tmp_path):
    spec, platform = documents()
    for name in ("prepare", "train", "tidy-up"):
        container(spec, name)["image"] = "python:3.11"
    (finding,) = lint_documents(tmp_path, spec, platform)
    assert finding.where == "deploymentSpec.executors.exec-prepare and 2 more"


def test_an_image_that_is_set_at_run_time_is_a_warning(tmp_path):
    @dsl.pipeline(name="image")
    def image_by_input(image: str):
        work(x=1).set_container_image(image)

    (finding,) = lint(compile_to(tmp_path, image_by_input))
    assert (finding.rule, finding.severity) == ("mutable-image", "warning")
