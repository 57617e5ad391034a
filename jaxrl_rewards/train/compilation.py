"""Process-wide settings of XLA that must be made before jax starts. Imports no jax."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

SMALL_MACHINE = 4
"""Machines with at most this many usable cores get one XLA thread."""

MINIMUM_COMPILE_SECONDS = "0.3"
"""Programs that compile faster than this are not stored."""


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def configure_cpu(*, cache: bool = True) -> dict[str, str]:
    """Set the defaults of a CPU run; call before the first import of jax.

    On machines with at most four usable cores the XLA thread pool gets one thread
    (`PJRT_NPROC=1`): batched factorisations can hang a pool of two, and one thread is not slower.
    With `cache`, compiled programs are kept in `$XDG_CACHE_HOME/jaxrl-rewards/xla/<processor>`
    (`~/.cache` by default), so that a second run of a command starts at once; programs of another
    kind of processor are never loaded.

    Variables that the user has set win. If jax is already imported, the cache is set through its
    configuration; the thread count then holds only if no computation has run yet.

    Returns:
      The variables set by this call.
    """
    made: dict[str, str] = {}

    def default(name: str, value: str) -> None:
        if name not in os.environ:
            os.environ[name] = value
            made[name] = value

    if usable_cores() <= SMALL_MACHINE:
        default("PJRT_NPROC", "1")
    if cache and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = cache_folder()
        if _writable(folder):
            default("JAX_COMPILATION_CACHE_DIR", str(folder))
            default("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", MINIMUM_COMPILE_SECONDS)
            jax = sys.modules.get("jax")
            if jax is not None:
                jax.config.update("jax_compilation_cache_dir", str(folder))
                jax.config.update(
                    "jax_persistent_cache_min_compile_time_secs", float(MINIMUM_COMPILE_SECONDS)
                )
    return made


def cache_folder() -> Path:
    """Where compiled programs of this kind of processor are kept by default."""
    root = os.environ.get("XDG_CACHE_HOME")
    base = Path(root) if root and os.path.isabs(root) else Path.home() / ".cache"
    return base / "jaxrl-rewards" / "xla" / _processor()


def _processor() -> str:
    """A short name of the instruction set, so that machines that share a home do not mix."""
    text = platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            text += next((line for line in stream if line.startswith(("flags", "Features"))), "")
    except OSError:
        text += platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
