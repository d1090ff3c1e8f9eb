"""Freed memory stays with the process."""

import platform
import subprocess
import sys

import pytest

from components.memory import keep_freed_memory

FAULTS = """
import resource, sys
import numpy as np
from components.memory import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit("not glibc")
for _ in range(5):
    np.ones(2**24)  # 128 MB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how):
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_large_array_gets_the_pages_of_the_one_before():
    assert page_faults("kept") * 10 < page_faults("given back")


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr("components.memory.ctypes.CDLL", lambda _: object())
    assert not keep_freed_memory()
