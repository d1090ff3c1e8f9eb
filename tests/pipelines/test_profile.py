"""Profiles: strict, laid over one another, and every example right."""

import pytest

from components.errors import InputError
from pipelines.addresses import DVC_SCHEMES
from pipelines.profile import read_profile
from tests.pipelines.conftest import PROFILES, ROOT

EXAMPLES = ROOT / "profiles"
DATA = "data: {volume: {claim: datasets}}\n"


def write(folder, *texts):
    files = []
    for number, text in enumerate(texts):
        files.append(folder / f"{number}.yaml")
        files[-1].write_text(text)
    return files


@pytest.mark.parametrize("names", [*PROFILES.values(), ["cpu-only.yaml", "data-uri.yaml"]])
def test_examples_are_right(names):
    assert read_profile([EXAMPLES / name for name in names])


def test_every_example_is_tried():
    tried = {n for names in PROFILES.values() for n in names} | {"cpu-only.yaml"}
    assert tried == {path.name for path in EXAMPLES.iterdir()}


def test_later_files_lie_over_earlier_ones(tmp_path):
    files = write(
        tmp_path, DATA + "gpu: {count: 2, shm: 4Gi}", "gpu: {count: 4}\nscratch: {claim: s}"
    )
    profile = read_profile(files)
    assert (profile.gpu.count, profile.gpu.shm, profile.scratch.claim) == (4, "4Gi", "s")


def test_another_way_to_the_data_replaces_the_first(tmp_path):
    profile = read_profile(write(tmp_path, DATA, "data: {uri: 's3://bucket/voc'}"))
    assert (profile.data.uri, profile.data.volume) == ("s3://bucket/voc", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpu: {cuont: 1}", r"gpu\.cuont: unknown key"),
        ("gpu: {count: -1}", r"gpu\.count: .*greater than or equal to 0, not -1"),
        ("gpu: {count: two}", r"gpu\.count: .*'two'"),
        ("gpu: {shm: 8}", r"gpu\.shm: .*8"),
        ("gpu: {shm: 8GB}", r"gpu\.shm: .*'8GB'"),
        ("gpu: {timeout_s: 0}", r"gpu\.timeout_s: .*0"),
        ("gpu: {timeout_s: 99999999999999999999}", r"gpu\.timeout_s: "),
        ("retries: {factor: .inf}", r"retries\.factor: "),
        ("mlflow: {secret: {name: a, keys: {a: 'b c=d'}}}", r"mlflow\.secret\.keys\.a: "),
        ("mlflow: {secret: {name: a, keys: {}}}", r"mlflow\.secret\.keys: "),
        ("retries: {backoff: 1m}", r"retries\.backoff: .*'1m'"),
        ("security: {user: 0}", r"security\.user: .*0"),
        ("mlflow: {uri: 'http://me:pw@mlflow'}", r"mlflow\.uri: "),
        ("mlflow: {uri: 'http://mlflow/?token=x'}", r"mlflow\.uri: must be without user"),
        ("kubeflow_ui: 'https://k/?access_token=x'", r"kubeflow_ui: must be without"),
        ("mlflow: {uri: 'sqlite:///mlflow.db'}", r"mlflow\.uri: .*sqlite"),
        ("mlflow: {secret: {name: a}}", r"mlflow\.secret\.keys: is missing"),
        ("scratch: {claim: Not_A_Name}", r"scratch\.claim: .*'Not_A_Name'"),
        ("image_pull_secrets: registry", r"image_pull_secrets: .*'registry'"),
        ("tasks: {train_rpn: {gpu: 2}}", r"tasks\.train_rpn\.gpu: unknown key"),
        ("tasks: {train_rnp: {cpu: 2}}", r"tasks\.train_rnp: no such task"),
        ("nodes: {}", r"nodes: unknown key"),
        ("data: {}", r"data: give exactly one of volume, uri and dvc"),
        ("data: {uri: 's3://a/b', volume: {claim: b}}", r"data: give exactly one"),
        ("data: {uri: 'http://a/b'}", r"data\.uri: .*http"),
        ("data: {dvc: {remote: 's3://b/x?sig=abc'}}", r"data\.dvc\.remote: must be without"),
        ("data: {dvc: {remote: 'https://u:pw@h/x'}}", r"data\.dvc\.remote: must be without"),
        ("data: {dvc: {remote: 'ftp://h/x'}}", r"data\.dvc\.remote: .*ftp"),
        ("data: {volume: {claim: a, folder: ../b}}", r"data\.volume\.folder: "),
        ("data: {volume: {claim: a, folder: '{{$}}'}}", r"data\.volume\.folder: "),
        ("data: {uri: 's3://a?X-Amz-Signature=b'}", r"data\.uri: must be without"),
        ("data: {uri: filename}", r"data\.uri: .*filename"),
        ("data: {uri: /home/me/data}", r"data\.uri: '/home/me/data' is not a folder that Kubeflow"),
        ("data: {uri: 's3://bucket'}", r"data\.uri: 's3://bucket' is not a folder"),
        ("data: {uri: 's3://bucket/'}", r"data\.uri: 's3://bucket/' is not a folder"),
        ("data: {uri: 's3://bucket/a/../b'}", r"data\.uri: .* is not a folder"),
        ("data: {uri: 's3://bucket/{{a}}'}", r"data\.uri: .* is not a folder"),
        ("data: {dvc: {remote: 'gs://b/x'}}", r"data\.dvc\.remote: 'gs://b/x' .* s3:// and https"),
        ("data: {dvc: {remote: 'azure://b/x'}}", r"data\.dvc\.remote: 'azure:.* is not a remote"),
        ("data: {dvc: {remote: 'ssh://h/x'}}", r"data\.dvc\.remote: 'ssh://h/x' is not a remote"),
        ("data: {dvc: {remote: /mnt/dvc}}", r"data\.dvc\.remote: '/mnt/dvc' .* \(data\.volume\)"),
        (
            "data: {dvc: {remote: 'https://h/x', endpoint_url: 'http://minio:9000'}}",
            r"data\.dvc: endpoint_url: 'http://minio:9000' is only for a remote of s3://",
        ),
        ("retries: {most: 1800s}", r"retries\.most: is not a key any more: .* remove it"),
        ("retries: {factor: 2.5}", r"retries\.factor: 2\.5 is not a whole number, and Argo"),
        ("retries: {factor: 0}", r"retries\.factor: "),
        ("retries: {count: 30}", r"retries: the pause before the last of 30 .* 32212254720"),
        ("mlflow: {experiment: ''}", r"mlflow\.experiment: '' is not a name"),
        ("mlflow: {experiment: 'a{{b}}'}", r"mlflow\.experiment: 'a\{\{b\}\}' is not a name"),
        ("mlflow: {uri: 'http://a b'}", r"mlflow\.uri: 'http://a b' is not a web address"),
        ("mlflow: {uri: 'http://a:99999'}", r"mlflow\.uri: Port out of range"),
        ("mlflow: {secret: {name: a, keys: {a: HOME}}}", r"mlflow\.secret\.keys\.a: HOME is"),
        ("mlflow: {secret: {name: a, keys: {a: X, b: X}}}", r"secret: keys: two keys set X"),
        ("security: {user: 99999999999999999999}", r"security\.user: "),
        ("tasks: {train_rpn: {memory_gib: 99999999999}}", r"tasks\.train_rpn\.memory_gib: "),
    ],
)
def test_wrong_values_are_named(tmp_path, text, message):
    files = write(tmp_path, text) if text.startswith("data") else write(tmp_path, DATA, text)
    with pytest.raises(InputError, match=message) as error:
        read_profile(files)
    assert str(files[-1]) in str(error.value)


def test_two_secrets_for_one_variable_of_fetch_data_are_refused(tmp_path):
    """kfp takes both; the pod has one of them."""
    secret = "secret: {name: %s, keys: {key: AWS_ACCESS_KEY_ID}}"
    data = "data: {dvc: {remote: 's3://b/x', " + secret % "store" + "}}"
    files = write(tmp_path, data, "mlflow: {" + secret % "artifacts" + "}")
    with pytest.raises(InputError, match=r"data\.dvc\.secret and mlflow\.secret both set AWS_ACC"):
        read_profile(files)
    assert read_profile(write(tmp_path, data, "mlflow: {" + secret % "store" + "}"))


def test_a_factor_as_older_profiles_have_it_is_taken(tmp_path):
    profile = read_profile(write(tmp_path, DATA, "retries: {count: 3, factor: 2.0}"))
    assert profile.retries.pauses == [60, 120, 240]


def test_the_remotes_that_are_taken_are_those_that_the_image_has_packages_for():
    from dvc_objects.fs import known_implementations

    locked = (ROOT / "requirements" / "data.txt").read_text()
    for scheme in known_implementations:
        package = {"http": "dvc-http", "https": "dvc-http"}.get(scheme, f"dvc-{scheme}")
        assert (f"\n{package}==" in locked) == (scheme in DVC_SCHEMES), scheme


def test_a_password_in_an_address_is_not_repeated(tmp_path):
    with pytest.raises(InputError) as error:
        read_profile(write(tmp_path, DATA, "mlflow: {uri: 'http://me:hunter2@mlflow'}"))
    assert "hunter2" not in str(error.value)


def test_all_wrong_values_are_named_at_once(tmp_path):
    with pytest.raises(InputError, match=r"gpu\.count.*; retries\.count"):
        read_profile(write(tmp_path, DATA, "gpu: {count: -1}\nretries: {count: -1}"))


def test_without_a_profile_the_missing_key_is_named():
    with pytest.raises(InputError, match=r"no profile given \(--profile\): data: is missing"):
        read_profile([])
