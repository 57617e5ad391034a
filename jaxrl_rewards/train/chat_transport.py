"""One JSON request over HTTP with limits on time, size and redirects."""

from __future__ import annotations

import email.utils
import functools
import http.client
import io
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from jaxrl_rewards.train.chat_key import redact, redact_value

_REDIRECTS = 3
_CHUNK = 1 << 14
_DETAIL, _DETAIL_READ = 300, 1 << 14
"""Characters of an error's body that are shown, and bytes of it that are read."""
_PORTS = {"http": 80, "https": 443}


class ChatError(Exception):
    """No answer. `kind` is one word for counting: timeout, connection, status, redirect,
    too_large, malformed, empty (an answer without text), length (one that ended before its text),
    budget, stopped or replay.

    `worked` says that the server got the question and may have charged for it; `code` is the
    status where it answered with one.
    """

    def __init__(
        self,
        kind: str,
        text: str,
        temporary: bool = False,
        retry_after: float | None = None,
        *,
        worked: bool = False,
        code: int | None = None,
    ):
        super().__init__(text)
        self.kind, self.temporary, self.retry_after = kind, temporary, retry_after
        self.worked, self.code = worked, code


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Hands redirects back as errors, so that none is followed unseen."""

    def http_error_302(self, *args: Any, **kwargs: Any) -> None:
        """Follow nothing, and do not even look at the target."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


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

    def http_open(self, req: Any) -> Any:
        """Open with the deadline."""
        return self.do_open(_connection(http.client.HTTPConnection, self._deadline), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, deadline: float):
        super().__init__()
        self._deadline = deadline

    def https_open(self, req: Any) -> Any:
        """Open with the deadline; certificates are checked as by default."""
        return self.do_open(_connection(http.client.HTTPSConnection, self._deadline), req)


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
    wrong is a `ChatError`. Here text from outside enters: neither the answer nor an error's text
    holds the key (see `redact`).
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
                url = _redirect(url, error, key)
            continue
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _connection_error(error, key, timeout) from None
        return _decoded(raw, key)
    raise ChatError("redirect", f"more than {_REDIRECTS} redirects")


def _decoded(raw: bytes, key: str) -> Any:
    try:
        return redact_value(json.loads(raw), key)
    except (ValueError, RecursionError):
        text = "the answer's body is not JSON"
        raise ChatError("malformed", text, True, worked=True) from None


def _connection_error(error: Exception, key: str, timeout: float) -> ChatError:
    """A failure on the way there (wrapped as URLError) or while the answer came."""
    wrapped = isinstance(error, urllib.error.URLError)
    cause = error.reason if wrapped else error
    sound = isinstance(error, (OSError, http.client.HTTPException))  # else the address is none
    arrived = sound and not wrapped and not isinstance(error, http.client.InvalidURL)
    if isinstance(cause, TimeoutError):
        return ChatError("timeout", f"no answer within {timeout:g} s", True, worked=arrived)
    text = redact(f"{type(error).__name__}: {' '.join(str(error).split())}", key)
    return ChatError("connection", text[:200], True, worked=arrived)


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
                text = f"the answer has more than {limit} bytes"
                raise ChatError("too_large", text, worked=True)


def _redirect(url: str, error: urllib.error.HTTPError, key: str) -> str:
    """The address to ask instead; ChatError where it may not be asked, or is none."""
    location, target = error.headers.get("Location") or "", ""
    try:
        target = urllib.parse.urljoin(url, location)
        old, new = urllib.parse.urlsplit(url), urllib.parse.urlsplit(target)
        same = _origin(old) == _origin(new) and new.username is None
        sound = target.isascii() and target.isprintable() and " " not in target
    except ValueError:
        sound = same = False
    if not sound or not same:
        reason = "another host" if sound else "what is no URL"
        shown = ascii(redact(location, key)[:80])
        raise ChatError("redirect", f"the server redirects to {reason}, {shown}")
    if error.code not in (307, 308):
        raise ChatError("redirect", f"a redirect with status {error.code} would drop the question")
    return target


def _origin(parts: urllib.parse.SplitResult) -> tuple[Any, ...]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _status_error(error: urllib.error.HTTPError, key: str) -> ChatError:
    try:
        body = error.read(_DETAIL_READ).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException, ValueError):
        body = ""
    text = f"status {error.code}: {redact(_detail(body), key)[:_DETAIL]}"
    temporary = error.code in (408, 429) or error.code >= 500
    asked = _retry_after(error.headers.get("Retry-After"))
    # the gateway gave up waiting; the model behind it may well have worked
    worked = error.code in (504, 524)
    return ChatError("status", text, temporary, asked, worked=worked, code=error.code)


def _detail(body: str) -> str:
    """The texts in an error's body, without the JSON around them."""
    try:
        found = " ".join(_texts_in(json.loads(body)))
    except (ValueError, RecursionError):
        found = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), body)
    return " ".join(found.split()).encode("utf-8", "replace").decode()


def _texts_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for one in value for text in _texts_in(one)]
    return [value] if isinstance(value, str) else []


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
