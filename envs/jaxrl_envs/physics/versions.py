"""The pair of MuJoCo packages: present, and of one minor version."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
from types import ModuleType

from jaxrl_rewards.core import InputError

LOWEST = (3, 17)
BELOW = (4, 0)
_INSTALL = "install a matching pair with: pip install 'jaxrl-rewards[physics]'"


def check_versions(mujoco_version: str | None, mjx_version: str | None) -> None:
    """InputError unless `mujoco` is in [3.17, 4) and `mujoco-mjx` has the same minor version.

    None stands for a package that is not installed; a missing one is reported only when used.
    """
    if mujoco_version is not None and not LOWEST <= _minor(mujoco_version) < BELOW:
        raise InputError(
            f"mujoco {mujoco_version} is installed, but 3.17 or newer and below 4 is needed; "
            f"{_INSTALL}"
        )
    if None not in (mujoco_version, mjx_version) and _minor(mujoco_version) != _minor(mjx_version):
        raise InputError(
            f"mujoco {mujoco_version} and mujoco-mjx {mjx_version} are installed, but the two must "
            f"have the same minor version; {_INSTALL}"
        )


def check_installed() -> None:
    """`check_versions` of what is installed; reads metadata only and imports neither package."""
    check_versions(_version("mujoco"), _version("mujoco-mjx"))


def require_mujoco() -> ModuleType:
    """The `mujoco` module; InputError when it is not installed."""
    check_installed()
    try:
        import mujoco
    except ImportError as error:
        raise InputError(f"physics needs mujoco, which cannot be imported; {_INSTALL}") from error
    return mujoco


def require_mjx() -> ModuleType:
    """The `mujoco.mjx` module; InputError when it is not installed."""
    require_mujoco()
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints that Warp is missing
            from mujoco import mjx
    except ImportError as error:
        raise InputError(
            f"the engine 'jax' needs mujoco-mjx, which cannot be imported; {_INSTALL}"
        ) from error
    return mjx


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _minor(version: str) -> tuple[int, int]:
    major, minor, *_ = version.split(".")
    return int(major), int(minor)
