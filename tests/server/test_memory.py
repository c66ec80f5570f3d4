"""Freed pixels go back to the system, in a process of their own: it is glibc that is changed."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import sys, threading
import numpy as np
from hatcnn.server.memory import keep_large_blocks_apart

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

if sys.argv[1] == "apart":
    assert keep_large_blocks_apart()

def decode():
    # A block of glibc's highest limit raises it; smaller ones then lie in the heap.
    for size in (31, 8):
        blocks, kept = [], []
        for _ in range(12):
            blocks.append(np.ones(size * 2**20, np.uint8))
            kept.append(bytes(1000))
        rest.extend(kept)
        del blocks

rest = []
before = resident()
thread = threading.Thread(target=decode)
thread.start()
thread.join()
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_large_blocks_are_given_back_when_they_are_freed():
    def kept(how):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, how], check=True, capture_output=True, text=True
        )
        return int(done.stdout)

    assert kept("apart") < 4 * 2**20
    assert kept("as it is") > 16 * 2**20
