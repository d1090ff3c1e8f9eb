"""Literals that look like a secret are found, and never shown."""

from collections import Counter

import pytest

from cli.lint import print_findings
from pipelines.lint.secret_shapes import is_secret_name
from tests.pipelines.lint.files import LOOP, configs, container, documents, lint_documents, tasks

# Put together here, so that no scanner takes this file for a leak.
SHAPED = {
    "AWS": "AKIA" + "IOSFODNN7EXAMPLE",
    "GitHub": "ghp_" + "a1B2" * 9,
    "GitLab": "glpat-" + "a1B2-c3D4_" * 2,
    "Slack token": "xoxb-" + "1234567890-abc",
    "Google API": "AIza" + "a1B2c" * 7,
    "Hugging Face": "hf_" + "aBcDe1" * 6,
    "OpenAI": "sk-proj-" + "a1B2" * 8,
    "JSON web": "eyJ" + "a" * 20 + ".eyJ" + "b" * 20 + "." + "c" * 20,
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n",
    "URL with a password": "https://someone:hunter" + "2@example.com/x",
    "URL with a token": "https://example.com/x?a=b&access_token" + "=abcd1234efgh",
    "authorization": "Authorization: Bearer abcd1234efgh",
}


def default(spec, platform, value):
    spec["root"]["inputDefinitions"]["parameters"]["lr"]["defaultValue"] = value


def nested_default(spec, platform, value):
    default(spec, platform, {"a": [{"b": f"x {value} y"}]})


def constant(spec, platform, value):
    tasks(spec)["prepare"]["inputs"]["parameters"]["size"] = {"runtimeValue": {"constant": value}}
    default(spec, platform, 1)
    spec["root"]["inputDefinitions"]["parameters"].pop("size")
    tasks(spec, "root")["exit-handler-1"]["inputs"]["parameters"].pop("pipelinechannel--size")
    spec["components"][LOOP]["inputDefinitions"]["parameters"].pop("pipelinechannel--size")


def environment(spec, platform, value):
    container(spec)["env"].append({"name": "X", "value": value})


def argument(spec, platform, value):
    container(spec)["args"].append(f"curl -H '{value}'")


def label(spec, platform, value):
    configs(platform)["exec-train"]["podMetadata"] = {"annotations": {"note": value}}


@pytest.mark.parametrize("kind", SHAPED)
@pytest.mark.parametrize("place", [default, nested_default, constant, environment, argument, label])
def test_known_tokens_are_found_anywhere_and_never_shown(kind, place, tmp_path, capsys):
    spec, platform = documents()
    place(spec, platform, SHAPED[kind])
    found = lint_documents(tmp_path, spec, platform)
    assert [f.rule for f in found] == ["secret"]
    assert kind in found[0].message
    print_findings(tmp_path / "pipeline.yaml", found)
    shown = capsys.readouterr().out
    assert SHAPED[kind].strip() not in shown
    assert "hunter" not in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["--password", "hunter2"],
        ["--db-password=hunter2"],
        ["-c", "export HF_TOKEN=hunter2 && run"],
        ["-c", "import x\nx.login(api_key='hunter2')\n"],
        ["-c", 'def f(password: str = "hunter2"): pass'],
        ["-c", "config = {'token': 'hunter2'}"],
        ['{"client_secret": "hunter2"}'],
        ['{"Concat": ["--token=", "hunter2"]}'],
    ],
)
def test_literals_under_secret_names_are_found_in_arguments(arguments, tmp_path):
    spec, platform = documents()
    container(spec)["args"] += arguments
    (finding,) = lint_documents(tmp_path, spec, platform)
    assert finding.rule == "secret"
    assert "exec-train.container.args[" in finding.where
    assert "hunter2" not in str(finding)


@pytest.mark.parametrize("place", [default, constant])
def test_literals_in_a_section_are_found_by_their_key(place, tmp_path):
    spec, platform = documents()
    place(spec, platform, {"user": "me", "password": "hunter2", "tokenizer": "bert"})
    (finding,) = lint_documents(tmp_path, spec, platform)
    assert (finding.rule, "hunter2" in str(finding)) == ("secret", False)
    assert "'password'" in finding.message


@pytest.mark.parametrize(
    "arguments",
    [
        ["--password", "{{$.inputs.parameters['lr']}}"],
        ["--token", "$(HF_TOKEN)"],
        ["--token=${HF_TOKEN}"],
        ["--password-file", "/run/secrets/password"],
        ["--token", "--verbose"],
        ["--tokenizer", "bert-base-uncased"],
        ["--max-token", "4096", "--max_tokens", "4096", "--pad-token", "[PAD]"],
        ["--secret-name", "my-secret"],
        ["-c", "export HF_TOKEN=$OTHER; TOKEN=$(cat token)"],
        ["-c", "import os\npassword = os.environ['DB_PASSWORD']\ntoken = None\n"],
        ["-c", "https://example.com:8080/a@b"],
        ["-c", "http://${USER}:${PASS}@proxy"],
        ["-c", "https://example.com/x?token=${TOKEN}&signature=$SIGNATURE"],
        ["sha256:" + "0123456789abcdef" * 4],
    ],
)
def test_references_and_harmless_names_are_no_secrets(arguments, tmp_path):
    spec, platform = documents()
    container(spec)["args"] += arguments
    assert lint_documents(tmp_path, spec, platform) == []


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *((name, True) for name in ("password", "DB_PASSWORD", "apiKey", "api_key", "hf-token")),
        *((name, True) for name in ("client_secret", "aws_secret_access_key", "credentials")),
        *((name, False) for name in ("tokenizer", "max_tokens", "eos_token", "token_count")),
        *((name, False) for name in ("secret_name", "key", "monkey", "keyword", "passes", "")),
    ],
)
def test_secret_names(name, secret):
    assert is_secret_name(name) is secret


def test_a_secret_is_hidden_in_other_rules_messages_too(tmp_path):
    spec, platform = documents()
    tasks(spec)["train"]["retryPolicy"]["maxRetryCount"] = SHAPED["AWS"]
    found = lint_documents(tmp_path, spec, platform)
    assert Counter(f.rule for f in found) == {"schema": 1, "secret": 1}
    assert SHAPED["AWS"] not in str(found)
