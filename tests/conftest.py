"""Process-wide settings of the test run and shared fixtures."""

import os
import tempfile
from pathlib import Path

# Before jax is imported: one XLA thread (pools of two can hang in batched factorisations on small
# machines), CPU only, and a persistent compilation cache that later runs profit from.
os.environ.setdefault("PJRT_NPROC", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(tempfile.gettempdir()) / "jaxrl-rewards-test-cache")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

import hypothesis  # noqa: E402
import pytest  # noqa: E402

hypothesis.settings.register_profile(
    "default",
    deadline=None,
    max_examples=30,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("default")

pytest_plugins = ["tests.budget"]  # prints the dearest files at the end

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption(
        "--reference-dir",
        action="append",
        default=[],
        help="a further folder of reference-vector JSON files (repeatable)",
    )


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real input beside the checkout, or in the folder that JAXRL_REWARDS_DATA names."""
    folder = Path(os.environ.get("JAXRL_REWARDS_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real input at {folder}; set JAXRL_REWARDS_DATA to a folder that has it")
    return folder
