"""fetch_data: real remotes, made by `dvc push`; a folder, and the same folder over HTTP."""

import base64
import dataclasses
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from components.command_line import build
from components.dataset.dvc_version import DataFile, DataVersion, hash_files
from components.errors import InputError
from components.fetch_data import FetchData
from components.fetch_data.remote import explained, masked
from components.fetch_data.run import run
from components.tracking import Run
from tests.conftest import run_stage

FILES = {
    "images/größe 1.jpg": b"1" * 3_000_000,
    "images/a-b": b"2",
    "images/a/b": b"3",
    "images/again": b"3",
    "listing": b"a name that fetch_data uses itself",
    "empty": b"",
    "#?%41.txt": b"signs that mean something in a URL",
}
REPOSITORY = Path(__file__).parents[2]
OTHER = "0123456789abcdef0123456789abcdef.dir"


def md5_of(name):
    return hashlib.md5(FILES[name]).hexdigest()


@dataclasses.dataclass(frozen=True)
class Store:
    """A remote that was pushed to: its folder and what data.dvc says."""

    folder: Path
    version: DataVersion

    def object(self, md5):
        return self.folder / "files/md5" / md5[:2] / md5[2:]


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    project = tmp_path_factory.mktemp("project")
    for name, content in FILES.items():
        (project / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "data" / name).write_bytes(content)
    for arguments in (
        ["init", "--no-scm"],
        ["add", "data"],
        ["remote", "add", "--default", "store", str(project / "store")],
        ["push"],
    ):
        command = [sys.executable, "-m", "dvc", *arguments, "--quiet"]
        subprocess.run(command, cwd=project, check=True, capture_output=True)
    said = yaml.safe_load((project / "data.dvc").read_text())["outs"][0]
    return Store(project / "store", DataVersion(said["md5"], said["nfiles"], said["size"]))


@pytest.fixture
def store(pushed, tmp_path):
    """A copy of the remote that a test may damage."""
    shutil.copytree(pushed.folder, tmp_path / "store")
    return Store(tmp_path / "store", pushed.version)


@pytest.fixture
def serve():
    """Serve a folder by HTTP on the loopback: gives its URL."""
    servers = []

    def start(folder, handler=SimpleHTTPRequestHandler):
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(params=["folder", "http"])
def address(request, store, serve):
    """The remote's address, by each way."""
    return str(store.folder) if request.param == "folder" else serve(store.folder)


def fetch(store, address, output, **parameters):
    version = dataclasses.asdict(store.version) | parameters
    run(FetchData(data=output, remote=address, **version), Run())


def failure(store, address, output, **parameters):
    with pytest.raises(InputError) as error:
        fetch(store, address, output, **parameters)
    return str(error.value)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if not path.is_dir()
    }


def test_the_folder_is_the_one_that_was_pushed(store, address, tmp_path):
    output = tmp_path / "out/data"
    fetch(store, address, output)
    assert contents(output) == FILES
    for path in output.rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or path.stat().st_nlink == 1
        assert os.access(path, os.W_OK)
        path.is_dir() or path.write_bytes(b"the remote must not change with it")
    assert [path.name for path in output.parent.iterdir()] == ["data"]
    fetch(store, address, output.with_name("again"))
    assert contents(output.with_name("again")) == FILES


def test_hardened_pod(store, serve, tmp_path):
    """No home, nothing to write but the output's disk, no git, no project."""
    nowhere, output = tmp_path / "read-only", tmp_path / "out"
    nowhere.mkdir()
    output.mkdir()
    nowhere.chmod(0o555)
    environment = {
        "HOME": "/nonexistent",
        "TMPDIR": "/nonexistent",
        "PATH": "/nonexistent",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "FOURSTEP_TRACKING": "off",
    }
    flags = ["--remote", serve(store.folder), "--md5", store.version.md5]
    command = [sys.executable, "-m", "components.fetch_data", "--data", str(output / "data")]
    before = set(tmp_path.rglob("*"))
    done = subprocess.run(
        [*command, *flags], cwd=nowhere, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert contents(output / "data") == FILES
    new = {
        path for path in set(tmp_path.rglob("*")) - before if output / "data" not in path.parents
    }
    assert new == {output / "data"}


def test_version_that_is_not_there(store, address, tmp_path):
    said = failure(store, address, tmp_path / "data", md5=OTHER)
    for part in (OTHER, address, "is not there", "`dvc push`"):
        assert part in said


def test_missing_object(store, address, tmp_path):
    lost = md5_of("images/a-b")
    store.object(lost).unlink()
    said = failure(store, address, tmp_path / "data")
    for part in (address, f"images/a-b is not there (object {lost})", "`dvc push`"):
        assert part in said


@pytest.mark.parametrize("name", ["empty", "images/größe 1.jpg"])
def test_damaged_object(store, address, tmp_path, name):
    md5 = md5_of(name)
    store.object(md5).chmod(0o644)
    store.object(md5).write_bytes(b"x")
    said = failure(store, address, tmp_path / "data")
    assert f"1 of {len(FILES)} files are damaged there: {name} (object {md5})" in said


def test_damaged_listing(store, address, tmp_path):
    listing = store.object(store.version.md5)
    listing.chmod(0o644)
    listing.write_bytes(listing.read_bytes().replace(b"empty", b"EMPTY"))
    said = failure(store, address, tmp_path / "data")
    assert f"what it holds as version {store.version.md5} is something else" in said


def test_folder_that_is_no_remote(store, tmp_path):
    said = failure(store, str(tmp_path / "elsewhere"), tmp_path / "data")
    assert f"remote {tmp_path}/elsewhere: version {store.version.md5}" in said
    assert "Is the address right?" in said


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_object_without_permission_as_user(store, tmp_path):
    store.object(md5_of("empty")).chmod(0)
    assert "no permission to read empty" in failure(store, str(store.folder), tmp_path / "data")


class Refusing(SimpleHTTPRequestHandler):
    """A server that wants credentials."""

    def do_GET(self):
        self.send_error(403, "who are you?")


class Guarded(SimpleHTTPRequestHandler):
    """A server that wants the password of `me`."""

    def do_GET(self):
        wanted = "Basic " + base64.b64encode(b"me:hunter2").decode()
        if self.headers["Authorization"] == wanted:
            super().do_GET()
        else:
            self.send_error(401)


class Breaking(SimpleHTTPRequestHandler):
    """A server that breaks off in the middle of the large file."""

    def copyfile(self, source, outputfile):
        content = source.read()
        outputfile.write(content if len(content) < 1_000_000 else content[:1000])
        if len(content) >= 1_000_000:
            self.close_connection = True


class Hanging(SimpleHTTPRequestHandler):
    """A server that sends all but the large file, until it may go on."""

    hang = threading.Event()

    def copyfile(self, source, outputfile):
        content = source.read()
        outputfile.write(content[:1000])
        if len(content) >= 1_000_000:
            self.hang.wait()


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (Refusing, "no permission to read version"),
        (Breaking, "images/größe 1.jpg cannot be read (ClientPayloadError"),
    ],
)
def test_servers_that_fail(store, serve, tmp_path, handler, message):
    address = serve(store.folder, handler)
    said = failure(store, address, tmp_path / "data")
    assert said.startswith(f"remote {address}: ")
    assert message in said


def test_credentials_from_a_netrc_file(store, serve, tmp_path, monkeypatch):
    address = serve(store.folder, Guarded)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password wrong")
    monkeypatch.setenv("NETRC", str(netrc))
    said = failure(store, address, tmp_path / "data")
    assert "no permission to read version" in said
    assert "wrong" not in said
    netrc.write_text("machine 127.0.0.1 login me password hunter2")
    fetch(store, address, tmp_path / "again")
    assert contents(tmp_path / "again") == FILES


def test_nobody_listens(store, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    said = failure(store, address, tmp_path / "data")
    assert f"remote {address}: " in said
    assert "Can the cluster reach the remote?" in said


def test_full_disk():
    said = explained(OSError(28, "No space left on device"), OTHER, "images/1.jpg")
    assert said == "no space left for images/1.jpg; give the task more disk"


@pytest.mark.parametrize("scheme", ["s3", "gs", "ssh", "azure"])
def test_plugin_that_is_not_installed(store, tmp_path, monkeypatch, scheme):
    monkeypatch.setitem(sys.modules, f"dvc_{scheme}", None)  # as if it were not there
    said = failure(store, f"{scheme}://bucket/data", tmp_path / "data")
    assert f"remote {scheme}://bucket/data: {scheme} is supported" in said
    assert f"requires 'dvc-{scheme}' to be installed" in said


def test_unknown_kind_of_remote(store, tmp_path):
    assert "Unsupported URL type foo://" in failure(store, "foo://x/y", tmp_path / "data")


def test_endpoint_reaches_the_store(monkeypatch, store, tmp_path):
    """The package for S3 need not be installed for this."""
    import dvc.fs

    asked = {}

    def stop(_, **options):
        asked.update(options)
        raise ImportError("asked")

    monkeypatch.setattr(dvc.fs, "get_cloud_fs", stop)
    url = "http://minio.kubeflow:9000"
    failure(store, "s3://bucket", tmp_path / "data", endpoint_url=url)
    assert asked == {"url": "s3://bucket", "endpointurl": url}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"remote": ""}, "remote: empty"),
        ({"md5": "4fe5"}, "md5: '4fe5' is not the version of a folder"),
        ({"endpoint_url": "http://minio:9000"}, "only for a remote of s3://"),
        ({"remote": "https://me:hunter2@host/x"}, "remote: this URL holds a password"),
        ({"remote": "https://host/x?sig=hunter2"}, "a query string"),
        ({"remote": "s3://b", "endpoint_url": "http://me:hunter2@m"}, "endpoint_url: this URL"),
    ],
)
def test_parameters_that_are_refused(tmp_path, values, message):
    flat = {"data": tmp_path, "remote": "https://host/x", "md5": OTHER} | values
    with pytest.raises(InputError) as error:
        build(FetchData, flat)
    assert message in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("get https://me:p@ss@host/x: no", "get https://***@host/x: no"),
        ("http://:p/w@proxy:80 failed", "http://***@proxy:80 failed"),
        ("URL('https://h/x?sig=abc&t=1')", "URL('https://h/x?***')"),
        ("ssh://me@host:22/x", "ssh://me@host:22/x"),
        ("s3://bucket/a?", "s3://bucket/a?***"),
        ("/a/path@1", "/a/path@1"),
    ],
)
def test_masked(text, shown):
    assert masked(text) == shown


def test_failed_fetch_leaves_nothing(store, tmp_path):
    """Nor does it touch what was there."""
    store.object(md5_of("empty")).unlink()
    (tmp_path / "out/data").mkdir(parents=True)
    (tmp_path / "out/data/old").write_text("old")
    flags = ["--remote", store.folder, "--md5", store.version.md5]
    done = run_stage("fetch_data", "--data", tmp_path / "out/data", *flags)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("fetch_data: remote ")
    assert "Traceback" not in done.stderr
    assert contents(tmp_path / "out") == {"data/old": b"old"}


def test_killed_fetch_is_run_again(store, serve, tmp_path):
    Hanging.hang.clear()
    output = tmp_path / "out/data"
    flags = ["--data", str(output), "--md5", store.version.md5, "--remote"]
    command = [sys.executable, "-m", "components.fetch_data", *flags]
    killed = subprocess.Popen(
        [*command, serve(store.folder, Hanging)], cwd=REPOSITORY, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: list(output.parent.glob(".data.*.partial/data/images/größe*")))
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        Hanging.hang.set()
    assert not output.exists()
    assert run_stage("fetch_data", *flags, store.folder).returncode == 0
    assert contents(output.parent) == {f"data/{name}": FILES[name] for name in FILES}


def wait_for(happens, seconds=600):
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_what_was_fetched_passes_check_data(store, address, tmp_path):
    fetch(store, address, tmp_path / "data")
    flags = ["--data", tmp_path / "data", "--version", tmp_path / "version.json"]
    done = run_stage("check_data", *flags, "--md5", store.version.md5)
    assert done.returncode == 0, done.stderr
    assert hash_files(tmp_path / "data")["empty"] == DataFile(md5_of("empty"), 0)
