"""Start-up settings of several processes, without starting any."""

import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.train import initialise
from jaxrl_rewards.train.distributed import agree_on_any, is_writer
from jaxrl_rewards.train.place import ADDRESS, COUNT, INDEX, PORT, SCHEDULERS


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    names = [name for pair in SCHEDULERS for group in pair for name in group]
    for name in (ADDRESS, PORT, *COUNT, *INDEX, *names, "SLURM_STEP_NODELIST"):
        monkeypatch.delenv(name, raising=False)


def test_nothing_given_starts_nothing():
    assert initialise() is False
    assert initialise("localhost:1234", 1, 0) is False
    assert is_writer()
    assert agree_on_any(True, None) and not agree_on_any(False, None)


def test_mistakes_are_named(monkeypatch):
    with pytest.raises(InputError, match="num_processes .* and process_id"):
        initialise("localhost:1234")
    with pytest.raises(InputError, match="process_id is 2 of num_processes 2"):
        initialise("localhost:1234", 2, 2)
    with pytest.raises(InputError, match="give it as host:port"):
        initialise("localhost", 2, 0)
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(InputError, match="JAX_NUM_PROCESSES is 'two'"):
        initialise("localhost:1234")
