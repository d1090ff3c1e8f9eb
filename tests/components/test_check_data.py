"""check_data: DVC's digest of a folder, against DVC itself."""

import dataclasses
import json
import os
import subprocess
import sys
import time

import pytest
import yaml

from components.check_data import CheckData
from components.check_data.run import run
from components.dataset.dvc_version import DataVersion, hash_files, list_files
from components.dataset.threaded import threaded
from components.errors import InputError
from components.tracking import Run
from tests.conftest import run_stage

OTHER = "0123456789abcdef0123456789abcdef.dir"


def dvc(project, *arguments):
    """Run the real DVC in a folder."""
    command = [sys.executable, "-m", "dvc", *arguments, "--quiet"]
    subprocess.run(command, cwd=project, check=True, capture_output=True, text=True)


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def simple(folder):
    write(folder, {"a.txt": b"one", "b/c.txt": b"two"})


def nested(folder):
    write(folder, {"x/y/z/deep": b"1", "x/y/flat": b"2", "top": b"3"})


def unicode_names(folder):
    """Among them two spellings of one name, and an astral sign: UTF-16 would sort it elsewhere."""
    names = ["Zürich/größe.jpg", "e\u0301", "\u00e9", "\U0001f600.jpg", "\uffee", "a b\t'\"\\c"]
    write(folder, {name: name.encode() for name in names})


def empty_things(folder):
    write(folder, {"empty": b"", "also/empty": b""})
    (folder / "no files" / "at all").mkdir(parents=True)


def orders(folder):
    """Names whose order as text differs from the order of a walk."""
    names = ["a/b", "a-b", "a.b", "a b", "B/x", "b", "_", "10", "9", "a/B", "aa", "ab/c"]
    write(folder, {name: name.encode() for name in names})


def executable(folder):
    write(folder, {"script.sh": b"#!/bin/sh\n"})
    (folder / "script.sh").chmod(0o755)


def lines(folder):
    """DVC 2 hashed text with the line ends of Unix."""
    write(folder, {"dos.txt": b"a\r\nb\r\n", "unix.txt": b"a\nb\n"})


def large(folder):
    """More than what is read at once, with DVC's own threads; two files of the same bytes."""
    content = bytes(range(256)) * 20_000
    write(folder, {"one": content, "two": content, "three": content[::-1]})


def links(folder):
    """A link to a file is followed, one to a folder is left out."""
    write(folder, {"real/file": b"1"})
    (folder / "link").symlink_to("real/file")
    (folder / "folder").symlink_to("real")


def passed_over(folder):
    """What DVC leaves out by itself: version control, and DVC projects of their own."""
    names = [".git/config", "sub/.git/x", "module/.git", ".hg/x", "sub/.dvc/config", "sub/lost"]
    names += ["flag/.dvc", "flag/lost", ".gitignore", "hg/.hg", "kept/.dvcx/a", "pycache/x.pyc"]
    write(folder, {name: name.encode() for name in names})


def many(folder):
    """More files than a thread takes at once."""
    write(folder, {f"{n % 7}/{n}": str(n).encode() for n in range(300)})


FOLDERS = [simple, nested, unicode_names, empty_things, orders, executable, lines, large, links]
FOLDERS += [passed_over, many]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A DVC project that holds each of the folders, added by DVC itself."""
    project = tmp_path_factory.mktemp("project")
    for make in FOLDERS:
        make(project / make.__name__)
    dvc(project, "init", "--no-scm")
    dvc(project, "add", *[make.__name__ for make in FOLDERS])
    return project


@pytest.mark.parametrize("make", FOLDERS)
def test_the_digest_is_dvcs(project, make):
    said = yaml.safe_load((project / f"{make.__name__}.dvc").read_text())["outs"][0]
    assert said["hash"] == "md5"
    found = DataVersion.of(hash_files(project / make.__name__))
    assert found == DataVersion(said["md5"], said["nfiles"], said["size"])


def test_mounted_folder_is_a_link(tmp_path):
    simple(tmp_path / "real")
    (tmp_path / "data").symlink_to("real")
    assert hash_files(tmp_path / "data") == hash_files(tmp_path / "real") != {}


def test_what_dvc_refuses(tmp_path):
    simple(tmp_path / "data")
    (tmp_path / "data/b/.dvcignore").write_text("*.txt")
    with pytest.raises(InputError, match=r"b/\.dvcignore: DVC allows none"):
        list_files(tmp_path / "data")
    dvc(tmp_path, "init", "--no-scm")
    with pytest.raises(subprocess.CalledProcessError, match="dvc"):
        dvc(tmp_path, "add", "data")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.symlink_to("nowhere"), "odd: a link to a file that is not there"),
        (os.mkfifo, "odd: neither a file nor a folder"),
    ],
)
def test_what_is_no_file(tmp_path, make, message):
    simple(tmp_path)
    make(tmp_path / "odd")
    with pytest.raises(InputError, match=message):
        hash_files(tmp_path)


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_file_without_permission(tmp_path):
    simple(tmp_path)
    (tmp_path / "a.txt").chmod(0)
    with pytest.raises(InputError, match=rf"a\.txt: cannot be read by user {os.getuid()}"):
        hash_files(tmp_path)


def test_project_in_place_of_its_data(tmp_path):
    simple(tmp_path / "data")
    (tmp_path / ".dvc").mkdir()
    with pytest.raises(InputError, match="give the data folder in it"):
        hash_files(tmp_path)


def stage_for(folder, **parameters):
    return CheckData(data=folder, version=folder.parent / "version.json", **parameters)


def test_stage_writes_the_version(tmp_path):
    simple(tmp_path / "data")
    said = DataVersion.of(hash_files(tmp_path / "data"))
    flags = ["--data", tmp_path / "data", "--version", tmp_path / "v.json", "--md5", said.md5]
    done = run_stage("check_data", *flags)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "v.json").read_text()) == dataclasses.asdict(said)
    first = (tmp_path / "v.json").read_bytes()
    assert run_stage("check_data", *flags).returncode == 0
    assert (tmp_path / "v.json").read_bytes() == first
    assert str(tmp_path).encode() not in first


@pytest.mark.parametrize("change", ["changed", "added", "removed", "renamed", "swapped"])
def test_any_change_is_refused(tmp_path, change):
    data = tmp_path / "data"
    write(data, {"a": b"1", "b": b"2", "c/d": b"3"})
    expected = DataVersion.of(hash_files(data))
    match change:
        case "changed":
            (data / "a").write_bytes(b"9")
        case "added":
            (data / "c/new").write_bytes(b"")
        case "removed":
            (data / "c/d").unlink()
        case "renamed":
            (data / "a").rename(data / "A")
        case "swapped":
            write(data, {"a": b"2", "b": b"1"})
    found = DataVersion.of(hash_files(data))
    with pytest.raises(InputError) as error:
        run(stage_for(data, md5=expected.md5, nfiles=3, size=3), Run())
    for part in (str(data), str(found), expected.md5 + " (3 files, 3 bytes)", "`dvc add data`"):
        assert part in str(error.value)
    assert not (tmp_path / "version.json").exists()


def test_counts_do_not_decide(tmp_path):
    """They may be missing in data.dvc; then the message is without them."""
    simple(tmp_path / "data")
    right = DataVersion.of(hash_files(tmp_path / "data")).md5
    run(stage_for(tmp_path / "data", md5=right, nfiles=99, size=99), Run())
    with pytest.raises(InputError, match=rf"data\.dvc names {OTHER}\. Mount"):
        run(stage_for(tmp_path / "data", md5=OTHER), Run())


def test_file_in_place_of_a_folder(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(InputError, match="data: not a folder"):
        run(stage_for(tmp_path / "data", md5=OTHER), Run())


@pytest.mark.parametrize("md5", ["", OTHER[:-4], OTHER.upper(), "4fe5.dir", OTHER + "\n"])
def test_what_is_no_digest(tmp_path, md5):
    done = run_stage("check_data", "--data", tmp_path, "--version", tmp_path / "v", "--md5", md5)
    assert done.returncode == 1
    assert f"md5: {md5!r} is not the version of a folder" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 3000])
def test_threaded_keeps_the_order(count):
    assert threaded(lambda n: n * n, range(count), "squares") == [n * n for n in range(count)]


def test_threaded_stops_at_the_first_error():
    seen = []

    def work(n):
        seen.append(n)
        if n == 0:
            raise InputError("item 0")
        time.sleep(0.001)

    with pytest.raises(InputError, match="item 0"):
        threaded(work, range(100_000), "failing", threads=2)
    assert len(seen) < 50_000


def test_dvc_is_not_imported(tmp_path):
    simple(tmp_path / "data")
    code = "\n".join(
        [
            "import sys; from pathlib import Path",
            "from components.dataset.dvc_version import hash_files",
            "hash_files(Path(sys.argv[1])); print(sorted({'dvc', 'dvc_data'} & set(sys.modules)))",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
