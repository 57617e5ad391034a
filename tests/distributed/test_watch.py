"""Who is let in to watch, without any other process."""

import socket
import time

from jaxrl_rewards.train.place import Place
from jaxrl_rewards.train.watch import LONGEST_LINE, LastWords, Watch


def test_strangers_are_shut_out_and_end_nothing():
    numbers = []

    def tell(own):
        numbers.extend(own)
        return own

    watch = Watch(Place("localhost:1", 3, 0), LastWords(""))
    watch.connect(tell)
    port, token = numbers
    for text in ("", "bye\n", f"{token}\n", f"{token} 0\n", f"{token} 3\n", "x" * LONGEST_LINE * 3):
        with socket.create_connection(("localhost", port), timeout=10) as line:
            line.sendall(text.encode())
            line.shutdown(socket.SHUT_WR)
            assert line.recv(1) == b""
    with socket.create_connection(("localhost", port), timeout=10) as line:
        line.sendall(f"{token} 2\n".encode())
        deadline = time.monotonic() + 10.0
        while 2 not in watch._lines and time.monotonic() < deadline:
            time.sleep(0.01)
        assert list(watch._lines) == [2]
        watch.leave()
        assert line.recv(10) == b"bye\n"
