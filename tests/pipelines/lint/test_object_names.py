"""The name of a Secret, ConfigMap or volume claim is not a secret, wherever it comes from."""

import pytest
from kfp import dsl, kubernetes

from pipelines.lint import lint
from tests.pipelines.lint.components import work
from tests.pipelines.lint.files import IMAGE, compile_to

KEYS = {"password": "PASSWORD"}


@dsl.component(base_image=IMAGE)
def call(token: str):
    pass


@dsl.pipeline(name="direct")
def direct(
    secret: str = "login",
    pull_secret: str = "registry",
    auth_token_config: str = "settings",
    secrets_claim: str = "vault",
    token_nodes: dict = {"disk": "ssd"},  # noqa: B006
):
    task = work(x=1)
    kubernetes.use_secret_as_env(task, secret, KEYS)
    kubernetes.use_secret_as_volume(task, secret, "/secret")
    kubernetes.set_image_pull_secrets(task, [pull_secret])
    kubernetes.use_config_map_as_env(task, auth_token_config, {"host": "HOST"})
    kubernetes.mount_pvc(task, secrets_claim, "/data")
    kubernetes.add_node_selector_json(task, token_nodes)


@dsl.pipeline
def part(db_secret: str = "login"):
    kubernetes.use_secret_as_env(work(x=1), db_secret, KEYS)


@dsl.pipeline
def whole(db_secret: str = "other-login"):
    part(db_secret=db_secret)
    part(db_secret="a-third-login")
    part()


@dsl.pipeline(name="nested")
def nested(token: str = "login"):
    whole(db_secret=token)
    whole(db_secret="a-fourth-login")
    with dsl.ExitHandler(work(x=1).set_caching_options(False)), dsl.If(token == "login"):
        kubernetes.use_secret_as_env(work(x=2), token, KEYS)


@dsl.pipeline(name="loop")
def loop(secrets: list[str] = ["login", "other-login"]):  # noqa: B006
    with dsl.ParallelFor(secrets) as secret:
        kubernetes.use_secret_as_env(work(x=1), secret, KEYS)
        with dsl.ParallelFor(secrets) as inner:
            kubernetes.use_secret_as_env(work(x=1), inner, KEYS)


@pytest.mark.parametrize("pipeline", [direct, nested, loop])
def test_names_of_objects_are_not_secrets(pipeline, tmp_path):
    assert lint(compile_to(tmp_path, pipeline)) == []


def test_a_secret_beside_a_secrets_name_is_found(tmp_path):
    @dsl.pipeline(name="both")
    def both(secret: str = "login", token: str = "hunter2"):
        task = call(token=token)
        kubernetes.use_secret_as_env(task, secret, KEYS)
        part(db_secret=secret)
        call(token="hunter3")

    findings = lint(compile_to(tmp_path, both))
    assert {(f.rule, f.where) for f in findings} == {
        ("secret", "root.inputDefinitions.parameters.token.defaultValue"),
        ("secret", "root.dag.tasks.call-2.inputs.parameters.token.runtimeValue.constant"),
    }
    assert "hunter" not in str(findings)


def test_a_token_in_the_place_of_a_name_is_found(tmp_path):
    token = "ghp_" + "a1B2" * 9

    @dsl.pipeline(name="token")
    def token_as_name(secret: str = token):
        kubernetes.use_secret_as_env(work(x=1), secret, KEYS)

    (finding,) = lint(compile_to(tmp_path, token_as_name))
    assert (finding.rule, token in str(finding)) == ("secret", False)
