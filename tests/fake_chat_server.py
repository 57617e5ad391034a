"""A chat server on this machine that answers, fails and misbehaves as told."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = tuple


class FakeChatServer:
    """Serves `POST .../chat/completions` on a free local port; a context manager.

    Each request takes the next step of `script`; when none is left, `reply(messages)` gives the
    text. Steps: `("answer", text)`, `("status", code, {header: value})`, `("raw", bytes)` as the
    body, `("hang", seconds)`, `("drip", seconds)` the body a byte at a time,
    `("drip headers", seconds)`, `("redirect", url, code)`,
    `("huge", bytes)`, `("drop",)` closes the connection, `("cut",)` ends the body too early.

    `own(body, headers)` comes before the script: it gives a status and the body, bytes or a value
    for JSON, or None to go on as usual. `most` is how many choices the server gives at once.
    """

    def __init__(
        self,
        reply: Callable[[list[dict]], str] = lambda messages: "FOO",
        script: Iterable[Step] = (),
        port: int = 0,
        own: Callable[[dict, Any], tuple[int, Any] | None] = lambda body, headers: None,
        most: int | None = None,
    ):
        self.reply, self.script = reply, deque(script)
        self.own, self.most = own, most
        self.requests: list[dict[str, Any]] = []
        """What was asked: `path`, `headers`, `body`, in order."""
        self.lock, self.closing = threading.Lock(), threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                server.serve(self)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        size = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(size))
        with self.lock:
            self.requests.append(
                {"path": handler.path, "headers": dict(handler.headers), "body": body}
            )
            told = self.own(body, handler.headers)
            if told is not None:
                step = ("own", *told)
            else:
                step = self.script.popleft() if self.script else ("answer", None)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.perform(handler, step, body)

    def perform(self, handler, step: Step, body: dict) -> None:
        kind, *rest = step
        if kind == "drop":
            handler.close_connection = True
            handler.connection.close()
        elif kind == "status":
            send(handler, rest[0], b'{"error": "told to fail"}', *rest[1:])
        elif kind == "redirect":
            send(handler, rest[1], b"", {"Location": rest[0]})
        elif kind == "own":
            said = rest[1] if isinstance(rest[1], bytes) else json.dumps(rest[1]).encode()
            send(handler, rest[0], said)
        elif kind == "raw":
            send(handler, 200, rest[0])
        elif kind == "huge":
            send(handler, 200, b" " * rest[0])
        elif kind == "cut":
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(b'{"choices"')
        elif kind in ("drip", "drip headers"):
            handler.send_response(200)
            if kind == "drip":
                handler.end_headers()
            else:
                handler.flush_headers()
                handler.wfile.write(b"X-Slow: ")
            end = time.monotonic() + rest[0]
            while time.monotonic() < end and not self.closing.is_set():
                handler.wfile.write(b" ")
                handler.wfile.flush()
                self.closing.wait(0.02)
        else:
            if kind == "hang":
                self.closing.wait(rest[0])
            text = rest[0] if kind == "answer" and rest[0] is not None else None
            count = min(body.get("n", 1), self.most or body.get("n", 1))
            texts = [self.reply(body["messages"]) if text is None else text] * count
            send(handler, 200, json.dumps(completion(texts)).encode())


def completion(texts: list[str], tokens: int = 7) -> dict[str, Any]:
    """An answer in the server's format."""
    choices = [
        {"index": i, "message": {"role": "assistant", "content": text}}
        for i, text in enumerate(texts)
    ]
    return {"object": "chat.completion", "choices": choices, "usage": {"total_tokens": tokens}}


def send(handler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
