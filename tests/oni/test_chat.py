"""The chat client against a server that misbehaves."""

import email.utils
import json
import time

import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.jsonl import mend_jsonl, read_jsonl
from jaxrl_rewards.train.chat import ChatClient, ChatError, ChatSettings, ReplayChat
from tests.fake_chat_server import FakeChatServer, completion

KEY = 'sk-se"cret'
QUESTION = [{"role": "user", "content": "Is it good?"}]


def client(server, log=None, **changes):
    values = dict(url=server.url, model="m", key=KEY, timeout=5.0, backoff=0.01, retries=2)
    return ChatClient(ChatSettings(**values | changes), log=log)


def test_an_answer_and_what_was_sent():
    with FakeChatServer(lambda messages: messages[-1]["content"].upper()) as server:
        answer = client(server).complete(QUESTION, temperature=0.1, max_tokens=5, choices=2)
    assert answer.texts == ("IS IT GOOD?",) * 2 and answer.tokens == 7 and answer.attempts == 1
    (request,) = server.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["headers"]["Authorization"] == f"Bearer {KEY}"
    assert request["body"] == {
        "model": "m",
        "messages": QUESTION,
        "temperature": 0.1,
        "max_tokens": 5,
        "n": 2,
    }


@pytest.mark.parametrize(
    "step",
    [
        ("status", 429),
        ("status", 500),
        ("status", 408),
        ("raw", b"{not json"),
        ("raw", b"[" * 100_000),
        ("raw", b'{"choices": []}'),
        ("raw", b'{"choices": [{"message": {"content": null}}]}'),
        ("raw", b'"text"'),
        ("drop",),
        ("cut",),
    ],
)
def test_what_may_be_temporary_is_tried_again(step):
    with FakeChatServer(script=[step, ("answer", "yes")]) as server:
        answer = client(server).complete(QUESTION)
    assert answer.texts == ("yes",) and answer.attempts == 2 and len(server.requests) == 2


def test_patience_ends_after_the_retries():
    with (
        FakeChatServer(script=[("status", 503)] * 5) as server,
        pytest.raises(ChatError, match="status 503") as caught,
    ):
        client(server).complete(QUESTION)
    assert caught.value.kind == "status" and len(server.requests) == 3


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (("status", 400), "status"),
        (("status", 401), "status"),
        (("redirect", "http://localhost:9/v1", 307), "redirect"),
        (("redirect", "https://example.org/", 308), "redirect"),
        (("redirect", "/v1/elsewhere", 302), "redirect"),
        (("huge", 3000), "too_large"),
    ],
)
def test_what_will_not_change_is_not_tried_again(step, kind):
    with (
        FakeChatServer(script=[step]) as server,
        pytest.raises(ChatError) as caught,
    ):
        client(server, body_limit=2000).complete(QUESTION)
    assert caught.value.kind == kind and len(server.requests) == 1


def test_a_redirect_on_the_same_host_is_followed_with_the_question():
    with FakeChatServer(script=[("redirect", "/v2/chat", 307)]) as server:
        assert client(server).complete(QUESTION).texts == ("FOO",)
    first, second = server.requests
    assert second["path"] == "/v2/chat" and second["body"] == first["body"]


def test_redirects_in_a_circle_end():
    with (
        FakeChatServer(script=[("redirect", "/v1", 307)] * 9) as server,
        pytest.raises(ChatError, match="redirects"),
    ):
        client(server).complete(QUESTION)
    assert len(server.requests) == 4


@pytest.mark.parametrize("step", [("hang", 3.0), ("drip", 3.0), ("drip headers", 3.0)])
def test_silence_and_dripping_bytes_time_out(step):
    start = time.monotonic()
    with (
        FakeChatServer(script=[step]) as server,
        pytest.raises(ChatError) as caught,
    ):
        client(server, timeout=0.2, retries=0).complete(QUESTION)
    assert caught.value.kind == "timeout" and time.monotonic() - start < 2.0


@pytest.mark.parametrize("date", [False, True])
def test_retry_after_is_honoured_and_limited(date):
    def elapsed(asked, **changes):
        value = email.utils.formatdate(time.time() + asked, usegmt=True) if date else str(asked)
        script = [("status", 429, {"Retry-After": value})]
        start = time.monotonic()
        with FakeChatServer(script=script) as server:
            client(server, **changes).complete(QUESTION)
        return time.monotonic() - start

    # dates count whole seconds, so up to one of them may already be over
    assert elapsed(2 if date else 0.3) >= (0.9 if date else 0.3)
    assert elapsed(1000, longest_wait=0.05) < 1.0


def test_a_closed_client_stops_waiting():
    with FakeChatServer(script=[("status", 429, {"Retry-After": "30"})]) as server:
        waiting = client(server)
        waiting.stop.set()
        with pytest.raises(ChatError) as caught:
            waiting.complete(QUESTION)
    assert caught.value.kind == "stopped"


def test_the_token_budget_is_kept():
    with FakeChatServer() as server:
        thrifty = client(server, token_budget=20)
        thrifty.complete(QUESTION, max_tokens=5)
        assert thrifty.spent == 7
        with pytest.raises(ChatError) as caught:
            thrifty.complete(QUESTION, max_tokens=20)
    assert caught.value.kind == "budget" and len(server.requests) == 1


def test_tokens_are_estimated_where_the_server_is_silent():
    reply = {**completion(["x" * 40])}
    del reply["usage"]
    with FakeChatServer(script=[("raw", json.dumps(reply).encode())]) as server:
        assert client(server).complete(QUESTION).tokens == 13  # 11 + 40 characters, 4 each


def test_a_recording_is_replayed_and_holds_no_key(tmp_path):
    log = tmp_path / "deep" / "chat.jsonl"
    script = [("answer", f"told {KEY}"), ("status", 400), ("answer", "third")]
    with FakeChatServer(script=script) as server:
        live = client(server, log=log)
        assert live.complete(QUESTION).texts == ("told [key]",)
        with pytest.raises(ChatError):
            live.complete(QUESTION)
        live.complete([{"role": "user", "content": "other"}])
    assert KEY not in log.read_text() and json.dumps(KEY)[1:-1] not in log.read_text()
    assert KEY not in repr(live.settings)
    replay = ReplayChat(log)
    assert replay.complete([{"role": "user", "content": "other"}]).texts == ("third",)
    assert replay.complete(QUESTION).texts == ("told [key]",)
    with pytest.raises(ChatError) as caught:
        replay.complete(QUESTION)
    assert caught.value.kind == "status"
    with pytest.raises(ChatError) as caught:
        replay.complete(QUESTION)
    assert caught.value.kind == "replay"


def test_a_log_torn_by_a_crash_is_continued(tmp_path):
    log = tmp_path / "chat.jsonl"
    script = [("answer", text) for text in ("one", "two", "three")]
    with FakeChatServer(script=script) as server:
        client(server, log=log).complete(QUESTION)
        log.write_text(log.read_text() + log.read_text()[:70])
        live = client(server, log=log)
        live.complete(QUESTION)
        live.complete(QUESTION)
    replay = ReplayChat(log)
    assert [replay.complete(QUESTION).texts[0] for _ in range(3)] == ["one", "two", "three"]


def test_mending_loses_nothing_when_it_is_interrupted(tmp_path, monkeypatch):
    path = tmp_path / "x.jsonl"
    for tail, mended in (('{"b', ""), ('{"b": 2}', '{"b": 2}\n'), ("", ""), ("\xff", "")):
        torn = ('{"a": 1}\n' + tail).encode("latin-1")
        path.write_bytes(torn)
        with monkeypatch.context() as crash:
            crash.setattr("os.replace", lambda *args: (_ for _ in ()).throw(OSError("crash")))
            if tail:
                with pytest.raises(OSError, match="crash"):
                    mend_jsonl(path)
        assert path.read_bytes() == torn and list(tmp_path.iterdir()) == [path]
        mend_jsonl(path)
        assert path.read_text() == '{"a": 1}\n' + mended
    mend_jsonl(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_a_torn_last_line_is_left_out_and_other_damage_named(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n\n{"b": 2}\n{"c"')
    assert read_jsonl(path) == [{"a": 1}, {"b": 2}]
    for text, line in (('{"a"\n{"b": 2}\n', 1), ('{"a": 1}\n[3]\n', 2), ('{"a": 1}\n{"c"\n', 2)):
        path.write_text(text)
        with pytest.raises(InputError, match=f"x.jsonl, line {line}"):
            read_jsonl(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_jsonl(tmp_path / "missing")


def test_settings_come_from_the_environment():
    values = {"JAXRL_CHAT_URL": "http://localhost:8000/v1/", "JAXRL_CHAT_MODEL": "m"}
    settings = ChatSettings.from_environment(values, retries=1)
    assert settings.url == "http://localhost:8000/v1" and settings.key == ""
    with pytest.raises(InputError, match="JAXRL_CHAT_MODEL"):
        ChatSettings.from_environment({"JAXRL_CHAT_URL": "http://x"})
    for bad in (dict(url="file:///etc"), dict(model=""), dict(timeout=0), dict(key="a\nb")):
        with pytest.raises(InputError):
            ChatSettings(**{"url": "http://x", "model": "m"} | bad)


@pytest.mark.parametrize("messages", [[], [{"role": "user"}], [{"role": "user", "content": 3}]])
def test_bad_questions_are_refused(messages):
    with pytest.raises(InputError):
        ChatClient(ChatSettings("http://x", "m")).complete(messages)
