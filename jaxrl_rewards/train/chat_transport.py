"""One JSON request over HTTP with limits on time, size and redirects."""

from __future__ import annotations

import email.utils
import functools
import http.client
import io
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

_REDIRECTS = 3
_CHUNK = 1 << 14


class ChatError(Exception):
    """No answer. `kind` is one word for counting: timeout, connection, status, redirect,
    too_large, malformed, budget, stopped or replay."""

    def __init__(
        self, kind: str, text: str, temporary: bool = False, retry_after: float | None = None
    ):
        super().__init__(text)
        self.kind, self.temporary, self.retry_after = kind, temporary, retry_after


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Hands redirects back as errors, so that none is followed unseen."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow nothing."""


class _Until(io.RawIOBase):
    """A socket's stream that ends in a TimeoutError at `deadline`, however bytes drip in.

    A socket's own time-out starts anew with every byte.
    """

    def __init__(self, stream: Any, sock: Any, deadline: float):
        self._stream, self._sock, self._deadline = stream, sock, deadline

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """What one `recv` gives, within the time that is left."""
        self._sock.settimeout(_left(self._deadline))
        return self._stream.readinto(buffer)

    def close(self) -> None:
        """Close the socket's stream too."""
        self._stream.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response whose status line, headers and body must all come before `deadline`."""

    def __init__(self, sock: Any, *args: Any, deadline: float, **kwargs: Any):
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Until(self.fp.detach(), sock, deadline))


class _Http(urllib.request.HTTPHandler):
    def __init__(self, deadline: float):
        super().__init__()
        self._deadline = deadline

    def http_open(self, request: Any) -> Any:
        """Open with the deadline."""
        return self.do_open(_connection(http.client.HTTPConnection, self._deadline), request)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, deadline: float):
        super().__init__()
        self._deadline = deadline

    def https_open(self, request: Any) -> Any:
        """Open with the deadline; certificates are checked as by default."""
        return self.do_open(_connection(http.client.HTTPSConnection, self._deadline), request)


def _connection(kind: Any, deadline: float) -> Any:
    def connect(*args: Any, **kwargs: Any) -> Any:
        connection = kind(*args, **kwargs)
        connection.response_class = functools.partial(_Response, deadline=deadline)
        return connection

    return connect


def _left(deadline: float) -> float:
    """Seconds until `deadline`; TimeoutError where it is over."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def post_json(url: str, body: dict[str, Any], *, key: str, timeout: float, limit: int) -> Any:
    """POST `body` and return the decoded answer, within `timeout` seconds and `limit` bytes.

    Only redirects that keep method, scheme, host and port are followed. Everything that goes
    wrong is a `ChatError`; its text never holds the key.
    """
    data = json.dumps(body).encode()
    if len(data) > limit:
        raise ChatError("too_large", f"the question has {len(data)} bytes; the limit is {limit}")
    deadline = time.monotonic() + timeout
    for _ in range(_REDIRECTS + 1):
        try:
            raw = _send(url, data, key, deadline, limit)
        except urllib.error.HTTPError as error:
            with error:
                if error.code not in (301, 302, 303, 307, 308):
                    raise _status_error(error, key) from None
                url = _redirect(url, error)
            continue
        except TimeoutError as error:
            raise ChatError("timeout", f"no answer within {timeout:g} s", True) from error
        except (OSError, http.client.HTTPException) as error:
            if isinstance(getattr(error, "reason", None), TimeoutError):
                raise ChatError("timeout", f"no answer within {timeout:g} s", True) from error
            text = _without(key, f"{type(error).__name__}: {error}")
            raise ChatError("connection", text[:200], True) from None
        try:
            return json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise ChatError("malformed", "the answer's body is not JSON", True) from error
    raise ChatError("redirect", f"more than {_REDIRECTS} redirects")


def _send(url: str, data: bytes, key: str, deadline: float, limit: int) -> bytes:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, data=data, headers=headers, method="POST")
    handlers: list[Any] = [_NoRedirect(), _Http(deadline), _Https(deadline)]
    if urllib.parse.urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1"):
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    with opener.open(request, timeout=_left(deadline)) as response:
        parts, size = [], 0
        while True:
            part = response.read1(_CHUNK)
            if not part:
                if response.length:
                    raise http.client.IncompleteRead(b"".join(parts), response.length)
                return b"".join(parts)
            size += len(part)
            parts.append(part)
            if size > limit:
                raise ChatError("too_large", f"the answer has more than {limit} bytes")


def _redirect(url: str, error: urllib.error.HTTPError) -> str:
    target = urllib.parse.urljoin(url, error.headers.get("Location") or "")
    old, new = urllib.parse.urlsplit(url), urllib.parse.urlsplit(target)
    same = (old.scheme, old.hostname, old.port) == (new.scheme, new.hostname, new.port)
    if not same:
        raise ChatError("redirect", f"the server redirects to another host, {new.hostname!r}")
    if error.code not in (307, 308):
        raise ChatError("redirect", f"a redirect with status {error.code} would drop the question")
    return target


def _status_error(error: urllib.error.HTTPError, key: str) -> ChatError:
    try:
        detail = error.read(300).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        detail = ""
    text = _without(key, f"status {error.code}: {detail}")
    temporary = error.code in (408, 429) or error.code >= 500
    return ChatError("status", text, temporary, _retry_after(error.headers.get("Retry-After")))


def _retry_after(value: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for, given as a number or a date."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(seconds, 0.0) if seconds == seconds else None


def _without(key: str, text: str) -> str:
    return text.replace(key, "[key]") if key else text
