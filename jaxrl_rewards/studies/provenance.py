"""What every stored figure carries: versions, hardware, commit and date."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


def provenance(command: str, seconds: float) -> dict[str, Any]:
    """The fields that a study's or benchmark's JSON file ends with."""
    return {
        "command": command,
        "seconds": round(float(seconds), 1),
        "commit": commit(),
        "versions": versions(),
        "hardware": hardware(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def versions(extra: tuple[str, ...] = ()) -> dict[str, str]:
    """Installed versions of the packages that decide a figure; missing ones are left out."""
    found = {"python": platform.python_version()}
    for name in (*_PACKAGES, *extra):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Short hash of the checkout this package runs from, "+" when it has changes; else None."""
    folder = Path(__file__).resolve().parents[2]

    def git(*args: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *args], capture_output=True, text=True, timeout=10
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    if not (folder / ".git").exists():
        return None
    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def hardware() -> dict[str, Any]:
    """Kind of device, processor name and cores; `id` names the folder under results/."""
    import jax

    device = jax.devices()[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if device.platform == "cpu":
        name, label = _processor(), f"cpu-{cores}core"
    else:
        name = device.device_kind
        label = f"{name.lower().replace(' ', '-')}-x{jax.device_count()}"
    return {
        "id": label,
        "device": name,
        "cores": cores,
        "xla_threads": os.environ.get("PJRT_NPROC", "default"),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
