"""Output that nobody reads ends nothing."""

import io
import os
import subprocess
import sys

import pytest

from jaxrl_rewards.core.output import SteadyStream

CHILD = (
    "import sys\n"
    "from jaxrl_rewards.core.output import steady_output\n"
    "with steady_output():\n"
    "    for _ in range(3000):\n"
    "        print('r\\u00e9sum\\u00e9 \\u2265', flush=True)\n"
    "        print('told', file=sys.stderr)\n"
    "    open(sys.argv[1], 'w').write('done')\n"
)


def closed_pipe():
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "w")


def test_writing_to_what_is_gone_changes_nothing():
    closed = io.StringIO()
    closed.close()
    for stream in (closed_pipe(), closed, None):
        steady = SteadyStream(stream)
        assert steady.write("text") == 4
        steady.flush()
        assert steady.lost and not steady.isatty()
        assert steady.write("more") == 4


def test_no_room_drops_the_text_only():
    with open("/dev/full", "w") as stream:
        steady = SteadyStream(stream)
        steady.write("x" * 100_000)
        steady.flush()
        assert not steady.lost
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def test_letters_that_a_terminal_lacks_become_question_marks():
    inner = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    SteadyStream(inner).write("r\u00e9sum\u00e9 \u2265\n")
    inner.flush()
    assert inner.buffer.getvalue() == b"r?sum? ?\n"


def test_a_stream_within_a_stream_is_unwrapped():
    inner = io.StringIO()
    SteadyStream(SteadyStream(inner)).write("once")
    assert inner.getvalue() == "once"


@pytest.mark.parametrize("output", ["head", "full", "closed", "ascii"])
def test_a_process_outlives_its_output(output, tmp_path):
    command = f'{sys.executable} -c "$CODE" {tmp_path / "done"}'
    tails = {
        "head": "2>&1 | head -1 > /dev/null; exit ${PIPESTATUS[0]}",
        "full": "> /dev/full 2> /dev/full",
        "closed": ">&- 2>&- <&-",
        "ascii": "> /dev/null 2> /dev/null",
    }
    environment = {**os.environ, "CODE": CHILD}
    if output == "ascii":
        environment |= {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        ["bash", "-c", f"{command} {tails[output]}"],
        env=environment,
        timeout=100,
    )
    assert done.returncode == 0
    assert (tmp_path / "done").read_text() == "done"
