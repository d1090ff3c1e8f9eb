"""Backends before 2.16 refuse every run of our pipelines, so nothing is sent to them."""

from pathlib import Path

import pytest

from components.errors import InputError
from tests.pipelines.kfp_server import KfpServer
from tests.pipelines.submit.calls import submit


@pytest.mark.parametrize(
    "version", ["1.8.22", "2.0.5", "2.3.0", "2.15.0", "v2.15.2", "2.15.0-rc.1"]
)
@pytest.mark.parametrize("through_ui", [False, True])
def test_an_older_backend_is_refused_by_name(
    kfp: KfpServer, package: Path, version: str, through_ui: bool
) -> None:
    kfp.version, kfp.through_ui = version, through_ui
    with pytest.raises(InputError) as caught:
        submit(kfp, package)
    text = str(caught.value)
    assert f"{kfp.url}: is Kubeflow Pipelines {version}" in text
    assert "must be Kubeflow Pipelines 2.16 or newer: upgrade it" in text
    assert [r.method for r in kfp.requests] == ["GET"], "nothing was sent"


@pytest.mark.parametrize(
    "version",
    ["2.16.0", "2.17.0", "v2.16.1", "2.16.0-rc.1", "3.0.0", "unknown", "", "master", "7b70c7b95f"],
)
def test_a_newer_one_and_one_that_does_not_say_are_not(
    kfp: KfpServer, package: Path, version: str
) -> None:
    kfp.version = version
    assert submit(kfp, package) == 0


def test_a_refused_run_of_a_server_that_does_not_say_names_the_version(
    kfp: KfpServer, package: Path
) -> None:
    """So 2.5 to 2.15 answer: their images were built without a tag."""
    kfp.version = "unknown"
    kfp.refuse_run = 'Failed to compile job: proto: (line 1:2): unknown field "securityContext"'
    with pytest.raises(InputError, match=r"unknown field.*2\.16 or newer"):
        submit(kfp, package)
