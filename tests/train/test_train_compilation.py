"""Settings made before jax starts."""

import os
import subprocess
import sys

import pytest

from jaxrl_rewards.train import compilation


@pytest.fixture
def clean(monkeypatch, tmp_path):
    for name in (
        "PJRT_NPROC",
        "JAX_COMPILATION_CACHE_DIR",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
    ):
        monkeypatch.setenv(name, "")  # so that what is set meanwhile is undone afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    # this process runs jax already, whose configuration must stay as it is
    monkeypatch.setitem(sys.modules, "jax", None)
    return tmp_path


def test_small_machines_get_one_thread_and_a_cache(clean, monkeypatch):
    monkeypatch.setattr(compilation, "usable_cores", lambda: 2)
    made = compilation.configure_cpu()
    assert made["PJRT_NPROC"] == os.environ["PJRT_NPROC"] == "1"
    folder = os.environ["JAX_COMPILATION_CACHE_DIR"]
    assert folder.startswith(str(clean / "jaxrl-rewards" / "xla"))
    assert os.path.isdir(folder)


def test_large_machines_keep_their_threads(clean, monkeypatch):
    monkeypatch.setattr(compilation, "usable_cores", lambda: 16)
    assert "PJRT_NPROC" not in compilation.configure_cpu(cache=False)


def test_the_users_values_win(clean, monkeypatch):
    monkeypatch.setattr(compilation, "usable_cores", lambda: 2)
    monkeypatch.setenv("PJRT_NPROC", "3")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    assert compilation.configure_cpu() == {}
    assert os.environ["PJRT_NPROC"] == "3"


def test_an_unwritable_cache_is_left_out(clean, monkeypatch):
    monkeypatch.setattr(compilation, "usable_cores", lambda: 2)
    (clean / "jaxrl-rewards").write_text("a file in the way")
    assert compilation.configure_cpu() == {"PJRT_NPROC": "1"}


def test_it_imports_no_jax(repository):
    code = (
        "import sys; from jaxrl_rewards.train import configure_cpu; configure_cpu(cache=False);"
        "assert 'jax' not in sys.modules, 'jax was imported'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=repository, check=True, timeout=60)
