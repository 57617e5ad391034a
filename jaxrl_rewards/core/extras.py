"""Packages that not everybody needs: which extra installs them, said before any work is done."""

from __future__ import annotations

import importlib

from jaxrl_rewards.core.errors import InputError

EXTRAS = {
    "mujoco": "physics",
    "mujoco.mjx": "physics",
    "tensorboardX": "log",
    "brax": "parity",
    "gymnasium": "parity",
    "gymnax": "parity",
    "rapidocr_onnxruntime": "ocr",
}
"""The extra of this package that installs each of them."""


def require_package(module: str, purpose: str) -> None:
    """InputError, with the command that installs it, unless `module` can be imported.

    `purpose` is what needs it, e.g. "--tensorboard".
    """
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise InputError(_message(module, purpose)) from error


def missing_package(error: ModuleNotFoundError, purpose: str) -> str | None:
    """The same sentence for an import that failed on the way; None where no extra would help."""
    name = error.name or ""
    module = name if name in EXTRAS else name.split(".")[0]
    return _message(module, purpose) if module in EXTRAS else None


def _message(module: str, purpose: str) -> str:
    package = {
        "mujoco.mjx": "mujoco-mjx",
        "rapidocr_onnxruntime": "rapidocr-onnxruntime",
    }.get(module, module)
    return (
        f"{purpose} needs {package}, which cannot be imported; install it with: "
        f"pip install 'jaxrl-rewards[{EXTRAS[module]}]'"
    )
