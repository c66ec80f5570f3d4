"""Compile the kernels once for this machine, and load them."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
from pathlib import Path

from hatcnn.files import atomic_path, cache_dir

_SOURCES = sorted(Path(__file__).parent.glob("*.cpp"))
_HEADERS = sorted(Path(__file__).parent.glob("*.h"))
_FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno",
    "-fno-trapping-math", "-shared", "-fPIC",
)  # fmt: skip


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or none where they cannot be had; torch's own operations do then.

    The first call on a machine compiles for some seconds; the result is kept in the cache folder.
    ``HATCNN_KERNELS=off`` does without.
    """
    if os.environ.get("HATCNN_KERNELS", "").lower() in ("0", "off", "no"):
        return None
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        return None
    sources = [path.read_bytes() for path in (*_SOURCES, *_HEADERS)]
    key = b"\0".join([*sources, compiler.encode(), " ".join(_FLAGS).encode(), _processor()])
    target = cache_dir() / "kernels" / f"{hashlib.sha256(key).hexdigest()[:24]}.so"
    try:
        if not target.exists():
            with atomic_path(target) as temporary:
                _compile(compiler, temporary)
        return ctypes.CDLL(str(target))
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or error
        logging.getLogger(__name__).warning("training goes on without its own kernels: %s", reason)
        return None


def _compile(compiler: str, target: Path) -> None:
    # Threads as torch's own: both find the OpenMP that torch has loaded. Not every compiler has it.
    for threads in (("-fopenmp",), ()):
        command = [compiler, *_FLAGS, *threads, *map(str, _SOURCES), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode == 0:
            return
    done.check_returncode()


def _processor() -> bytes:
    """What ``-march=native`` depends on."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        return "\n".join(sorted({x for x in lines if x.startswith(("flags", "Features"))})).encode()
    return f"{platform.machine()} {platform.processor()}".encode()
