"""Files that are whole or not there, whatever becomes of disk and process."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.errors import WriteError
from jaxrl_rewards.core.files import (
    TEMPORARY,
    atomic_path,
    atomic_write_bytes,
    make_folder,
    refuse_file,
    sweep_temporary,
)
from jaxrl_rewards.core.jsonl import JsonlWriter, read_jsonl
from tests.core.full_disk import files_of_at_most

TOO_LONG = "x" * 5000


def test_a_full_disk_leaves_the_old_file_and_one_sentence(tmp_path):
    path = tmp_path / "file.bin"
    atomic_write_bytes(path, b"old")
    with files_of_at_most(1000), pytest.raises(WriteError, match=r"file\.bin cannot be written"):
        atomic_write_bytes(path, b"x" * 5000)
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["file.bin"]


def test_what_goes_wrong_elsewhere_is_not_told_of_the_file(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "file"):
        (tmp_path / "nowhere").read_bytes()


@pytest.mark.parametrize("call", [make_folder, refuse_file])
def test_a_name_too_long_is_one_short_sentence(call, tmp_path):
    with pytest.raises(InputError, match="choose another folder") as caught:
        call(tmp_path / TOO_LONG)
    assert len(str(caught.value)) < 400


def test_what_a_killed_process_left_is_swept_and_what_is_being_written_is_not(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from jaxrl_rewards.core.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as path:\n"
        "    path.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "left.json")], timeout=100)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    (tmp_path / "deep").mkdir()
    left = left.rename(tmp_path / "deep" / left.name)
    assert left.name.startswith(TEMPORARY)
    with atomic_path(tmp_path / "own.json") as own:
        own.write_text("{}")
        assert sweep_temporary(tmp_path) == 1
        assert own.exists() and not left.exists()
    assert sorted(item.name for item in tmp_path.rglob("*")) == ["deep", "own.json"]


def test_an_append_without_room_is_taken_back_and_made_later(tmp_path):
    writer = JsonlWriter(tmp_path / "log.jsonl", pauses=(0.0,))
    writer.append([{"number": 0}])
    size = writer.flush()
    with files_of_at_most(size + 7):
        with pytest.raises(OSError, match=r"log\.jsonl cannot be written"):
            writer.append([{"number": 1}])
        assert read_jsonl(writer.path) == [{"number": 0}]
        with pytest.raises(WriteError):
            writer.append([{"number": 2}])
    writer.append([{"number": 3}])
    assert [entry["number"] for entry in read_jsonl(writer.path)] == [0, 1, 2, 3]
    assert writer.path.read_bytes().count(b"\n") == 4


def test_an_append_waits_a_moment_for_room(tmp_path):
    writer = JsonlWriter(tmp_path / "log.jsonl", pauses=(0.05,) * 100)
    with files_of_at_most(3):
        thread = threading.Thread(target=writer.append, args=([{"number": 1}],))
        thread.start()
        thread.join(0.1)
        assert thread.is_alive()
    thread.join(10)
    assert read_jsonl(writer.path) == [{"number": 1}]


@pytest.mark.parametrize("tail", ['{"number": 2', '{"num', "\0\0\0", '{"number": 1}'])
def test_a_torn_tail_is_cut_off_wherever_a_file_is_opened(tail, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"number": 0}\n' + tail)
    JsonlWriter(path).append([{"number": 9}])
    numbers = [entry["number"] for entry in read_jsonl(path)]
    assert numbers == ([0, 1, 9] if tail.endswith("}") else [0, 9])
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_for_reading_only_is_one_sentence(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(WriteError, match="cannot be written"):
        atomic_write_bytes(tmp_path / "file", b"")
