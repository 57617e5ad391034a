"""One process at a time writes a run's folder."""

import signal
import subprocess
import sys
import threading

import jax
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.files import TEMPORARY
from jaxrl_rewards.train import run
from jaxrl_rewards.train.folder_lock import LOCK, folder_lock
from tests.train.toys import make_regression

HOLDER = (
    "import sys, time\n"
    "from jaxrl_rewards.train.folder_lock import folder_lock\n"
    "with folder_lock(sys.argv[1]):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(100)\n"
)


@pytest.fixture
def held(tmp_path):
    """A folder that another process holds, and that process."""
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield folder, process
    process.kill()
    process.communicate()


def train(folder, **options):
    return run(make_regression(), key=jax.random.key(0), total_updates=2, out_dir=folder,
               progress=False, log=("jsonl",), **options)  # fmt: skip


def test_the_second_is_refused_before_it_writes_and_the_folder_is_free_after_a_kill(held):
    folder, process = held
    for resume in (False, True):
        with pytest.raises(InputError, match=f"in use by process {process.pid} on .*; wait"):
            train(folder, resume=resume)
    assert [path.name for path in folder.iterdir()] == [LOCK]
    process.send_signal(signal.SIGKILL)
    process.wait()
    (folder / f"{TEMPORARY}config-abc.json").write_text("half")
    assert train(folder).updates == 2
    assert not list(folder.glob(f"{TEMPORARY}*"))


def test_a_thread_may_hold_a_folder_again_and_another_may_not(tmp_path):
    refused = []

    def other():
        try:
            with folder_lock(tmp_path):
                pass
        except InputError as error:
            refused.append(str(error))

    with folder_lock(tmp_path), folder_lock(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1
    other()
    assert len(refused) == 1


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxrl_rewards.train.folder_lock.lock_file", lambda *_, **__: False)
    with pytest.warns(RuntimeWarning, match="without locks"), folder_lock(tmp_path):
        pass
