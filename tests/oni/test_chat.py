"""The chat client against a server that misbehaves."""

import email.utils
import json
import time
import traceback

import hypothesis.strategies as st
import pytest
from hypothesis import given

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.jsonl import mend_jsonl, read_jsonl
from jaxrl_rewards.train.chat import ChatClient, ChatError, ChatSettings, ReplayChat
from jaxrl_rewards.train.chat_key import redact
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


@pytest.mark.parametrize("answer", [3, {}, {"texts": 3, "tokens": 1}, {"texts": [], "tokens": "x"}])
def test_a_recording_with_a_damaged_answer_is_named(tmp_path, answer):
    log = tmp_path / "chat.jsonl"
    with FakeChatServer() as server:
        client(server, log=log).complete(QUESTION)
    log.write_text(json.dumps(json.loads(log.read_text()) | {"answer": answer}) + "\n")
    with pytest.raises(InputError, match="no answer"):
        ReplayChat(log).complete(QUESTION)


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


# ---------------------------------------------------------------- servers as they are


def refusing(code=400, **told):
    """Refuses requests with one of these parameters (`n` above 1), with the given message."""

    def own(body, headers):
        for name, message in told.items():
            if body.get(name, 1) != 1 if name == "n" else name in body:
                return code, message
        return None

    return own


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (400, {"error": {"message": "'n' : number must be at most 1"}}),
        (422, {"detail": [{"loc": ["body", "n"], "msg": "Extra inputs are not permitted"}]}),
        (500, {"error": "Only one completion choice is allowed"}),
        (501, {}),
        (400, b"bad request"),
    ],
)
def test_a_server_that_refuses_n_is_asked_one_by_one_from_then_on(code, message):
    with FakeChatServer(own=refusing(code, n=message)) as server:
        asking = client(server)
        assert asking.complete(QUESTION, choices=3).texts == ("FOO",) * 3
        assert asking.complete(QUESTION, choices=2).texts == ("FOO",) * 2
    assert [r["body"].get("n", 1) for r in server.requests] == [3, 1, 1, 1, 1, 1]


def test_a_refusal_for_another_reason_is_told_and_not_remembered():
    def own(body, headers):
        return (400, {"error": "the prompt is too long"}) if len(server.requests) < 3 else None

    with FakeChatServer(own=own) as server:
        asking = client(server)
        with pytest.raises(ChatError, match="status 400: the prompt is too long"):
            asking.complete(QUESTION, choices=2)
        assert asking.complete(QUESTION, choices=2).texts == ("FOO",) * 2
    assert [r["body"].get("n", 1) for r in server.requests] == [2, 1, 2]


@pytest.mark.parametrize("most", [1, 2])
def test_a_server_that_ignores_n_is_asked_again_for_the_rest(tmp_path, most):
    log = tmp_path / "chat.jsonl"
    with FakeChatServer(most=most) as server:
        asking = client(server, log=log)
        answer = asking.complete(QUESTION, choices=4)
        asking.complete(QUESTION, choices=4)
    asked = [r["body"].get("n", 1) for r in server.requests]
    assert asked == ([4] + [1] * 7 if most == 1 else [4, 2, 2, 2])
    assert answer.texts == ("FOO",) * 4 and answer.missing == ""
    assert answer.attempts == 4 // most and answer.tokens == 7 * 4 // most
    replayed = ReplayChat(log).complete(QUESTION, choices=4)
    assert (replayed.texts, replayed.tokens) == (answer.texts, answer.tokens)


def test_more_choices_than_asked_are_left_out():
    with FakeChatServer(own=lambda body, headers: (200, completion(["a"] * 9))) as server:
        assert client(server).complete(QUESTION, choices=2).texts == ("a", "a")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("max_tokens", "'max_tokens' is not supported. Use 'max_completion_tokens' instead."),
        ("max_tokens", "Unrecognized request argument supplied: max_tokens"),
        ("temperature", "'temperature' does not support 0.1. Only the default (1) is supported."),
    ],
)
def test_a_parameter_that_is_refused_is_given_otherwise_from_then_on(name, message):
    own = refusing(**{name: {"error": {"message": message}}})
    with FakeChatServer(own=own) as server:
        asking = client(server, retries=0)
        for _ in range(2):
            asking.complete(QUESTION, temperature=0.1, max_tokens=5)
    first, *later = [r["body"] for r in server.requests]
    assert name in first and len(later) == 2
    for body in later:
        assert name not in body
        assert body.get("max_tokens", body.get("max_completion_tokens")) == 5


def test_both_parameters_and_n_may_be_refused():
    own = refusing(
        max_tokens="Use 'max_completion_tokens'", temperature="temperature: unknown", n="n: no"
    )
    with FakeChatServer(own=own) as server:
        assert len(client(server).complete(QUESTION, choices=2).texts) == 2
    assert set(server.requests[-1]["body"]) == {"model", "messages", "max_completion_tokens"}


def test_a_value_that_is_too_large_is_no_name_that_is_unknown():
    said = "max_tokens is too large: 99999. This model supports at most 4096 completion tokens."
    with FakeChatServer(own=refusing(max_tokens={"error": said})) as server:
        asking = client(server)
        with pytest.raises(ChatError, match="at most 4096"):
            asking.complete(QUESTION, max_tokens=99_999)
    assert len(server.requests) == 1 and asking.dialect.length_name == "max_tokens"


def choice(content, reason="stop", **extra):
    return {"finish_reason": reason, "message": {"content": content, **extra}}


def saying(*choices, tokens=50):
    usage = {} if tokens is None else {"usage": {"total_tokens": tokens}}
    return "raw", json.dumps({"choices": choices, **usage}).encode()


def test_one_bad_choice_costs_one_more_question_and_not_the_good_ones():
    script = [saying(choice(None), choice("a"), choice("b")), saying(choice("c"))]
    with FakeChatServer(script=script) as server:
        answer = client(server).complete(QUESTION, choices=3)
    assert answer.texts == ("a", "b", "c") and answer.tokens == 100
    assert [r["body"]["n"] for r in server.requests] == [3, 1]


def test_what_is_missing_for_good_is_told_beside_the_rest(tmp_path):
    log = tmp_path / "chat.jsonl"
    script = [saying(choice("a"), choice(None, "length")), saying(choice("b")), ("status", 401)]
    with FakeChatServer(script=script) as server:
        asking = client(server, log=log)
        cut = asking.complete(QUESTION, choices=2)
        failed = asking.complete(QUESTION, choices=2)
    assert cut.texts == ("a",) and cut.missing.startswith("length: 1 of 2 choices ended before")
    assert failed.texts == ("b",) and failed.missing.startswith("status: status 401")
    replay = ReplayChat(log)
    assert [replay.complete(QUESTION, choices=2).missing for _ in range(2)] == [
        cut.missing,
        failed.missing,
    ]


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "yes"}],
        [{"type": "thinking", "thinking": [{"type": "text", "text": "no"}]}, "ye", "s"],
        [{"type": "output_text", "text": "ye"}, {"type": "text", "text": "s"}, None, 3],
    ],
)
def test_content_in_parts_is_put_together(content):
    with FakeChatServer(script=[saying(choice(content))]) as server:
        assert client(server).complete(QUESTION).texts == ("yes",)


@pytest.mark.parametrize(
    "bad",
    [
        choice(None, "length"),
        choice("", "length"),
        choice(None, reasoning_content="hm"),
        choice(None, reasoning="hm"),
        choice([], "content_filter"),
        choice(None, refusal="no"),
    ],
)
def test_an_answer_that_ended_before_its_text_is_not_bought_again(bad):
    with FakeChatServer(script=[saying(bad)] * 3) as server:
        asking = client(server)
        with pytest.raises(ChatError, match="before any text") as caught:
            asking.complete(QUESTION)
    assert caught.value.kind == "length" and asking.spent == 50 and len(server.requests) == 1


def test_an_error_with_status_200_is_told():
    with (
        FakeChatServer(own=lambda body, headers: (200, {"error": {"message": "busy"}})) as server,
        pytest.raises(ChatError, match="busy"),
    ):
        client(server, retries=0).complete(QUESTION)


@pytest.mark.parametrize(
    ("step", "cost"),
    [
        (saying(choice(None)), 50),
        (saying(choice(None), tokens=None), 3),
        (saying(choice(None, "length"), tokens=None), 103),
        (saying(tokens=None), 3),
        (("raw", b"{not json"), 103),
        (("drop",), 103),
        (("cut",), 103),
        (("huge", 3000), 103),
        (("hang", 1.0), 103),
        (("status", 503), 0),
        (("status", 401), 0),
    ],
)
def test_failed_answers_count_towards_the_budgets(step, cost):
    with FakeChatServer(script=[step]) as server:
        asking = client(server, retries=0, timeout=0.3, body_limit=2000)
        with pytest.raises(ChatError):
            asking.complete(QUESTION, max_tokens=100)
    assert asking.spent == cost and asking.seconds > 0


def test_the_token_budget_holds_also_between_attempts():
    bad = saying(choice(None), tokens=4000)
    with FakeChatServer(script=[bad] * 99) as server:
        asking = client(server, token_budget=10_000, retries=4)
        kinds = []
        for _ in range(5):
            with pytest.raises(ChatError) as caught:
                asking.complete(QUESTION, max_tokens=4000)
            kinds.append(caught.value.kind)
    assert asking.spent == 8000 and len(server.requests) == 2 and set(kinds) == {"budget"}


def test_the_time_budget_ends_waiting_and_asking():
    start = time.monotonic()
    with FakeChatServer(script=[("hang", 5.0), ("status", 503)] * 9) as server:
        asking = client(server, time_budget=0.3, timeout=9.0, backoff=9.0)
        for kind in ("budget", "budget"):
            with pytest.raises(ChatError) as caught:
                asking.complete(QUESTION)
            assert caught.value.kind == kind
    assert time.monotonic() - start < 3.0 and len(server.requests) == 1


@pytest.mark.parametrize("budget", [0, -1])
def test_budgets_must_be_positive(budget):
    for name in ("token_budget", "time_budget"):
        with pytest.raises(InputError, match=name):
            ChatSettings("http://x", "m", **{name: budget})


# ---------------------------------------------------------------- the key

LONG_KEY = "sk-SECRET-abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.mark.parametrize(
    "said",
    [
        (401, b"invalid key " + LONG_KEY.encode()),
        (401, b"e" * (301 - len(LONG_KEY)) + LONG_KEY.encode()),
        (401, (LONG_KEY * 900).encode()),
        (401, "".join(f"\\u{ord(c):04x}" for c in LONG_KEY).encode()),
        (401, {"error": {LONG_KEY: [LONG_KEY[:-1]]}}),
        (401, f"Incorrect API key: {LONG_KEY[:7]}***{LONG_KEY[-4:]}".encode()),
        (200, {"error": {"message": f"bad {LONG_KEY}"}}),
        (200, completion([f"r = 1 # {LONG_KEY}", LONG_KEY[:30], f"x {LONG_KEY[9:]} y"])),
        (200, f'{{"{LONG_KEY}'.encode()),
    ],
)
def test_the_key_reaches_no_answer_file_or_traceback(tmp_path, said):
    log = tmp_path / "chat.jsonl"
    with FakeChatServer(own=lambda body, headers: said) as server:
        try:
            text = repr(client(server, log, key=LONG_KEY, retries=0).complete(QUESTION, choices=3))
        except ChatError as error:
            text = "".join(traceback.format_exception(error)) + repr(vars(error))
    text += log.read_text()
    assert LONG_KEY[:6] not in text and LONG_KEY[12:20] not in text


@pytest.mark.parametrize("key", ["null", "0", "text", "x", "EMPTY", "token", "true", '"', "\\"])
def test_a_placeholder_for_a_key_changes_no_recording(tmp_path, key):
    log = tmp_path / "chat.jsonl"
    question = [{"role": "user", "content": "what 1 is x"}]
    said = "text x = 0 null EMPTY true"
    with FakeChatServer(lambda messages: said) as server:
        client(server, log, key=key).complete(question)
    assert ReplayChat(log).complete(question).texts == (said,)


@given(
    st.text("abcdefgh0123-_", min_size=16, max_size=60),
    st.integers(6, 60),
    st.text("xyz .", max_size=9),
)
def test_a_key_that_is_cut_short_is_taken_out(key, length, before):
    assert redact(before + key[:length], key) == before + "[key]"
    assert redact(f"{before}{key[:length]}***", key) == f"{before}[key]***"
    assert redact(f"{before}{key}{key} x", key) == f"{before}[key][key] x"


def test_ordinary_words_are_not_taken_for_a_key():
    for key in ("sk-no-key-required", "not-needed", "token-abc123", LONG_KEY):
        for text in ("no key is required", "a token is needed", "abc", "sk-", "SECRET", "key"):
            assert redact(text, key) == text
        assert redact(f"a {key} b", key) == "a [key] b"


# ---------------------------------------------------------------- redirects


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("http://[::1/", "no URL"),
        ("http://127.0.0.1:99999999/", "no URL"),
        ("http://127.0.0.1:abc/", "no URL"),
        ("/\xe9", "no URL"),
        ("/a b\tc", "no URL"),
        ("//u:p@127.0.0.1/", "another host"),
        ("file:///etc/passwd", "another host"),
        ("javascript:alert(1)", "another host"),
        (f"http://{LONG_KEY}/", "another host"),
    ],
)
def test_a_bad_target_of_a_redirect_is_one_sentence(target, word):
    with (
        FakeChatServer(script=[("redirect", target, 307)]) as server,
        pytest.raises(ChatError, match=word) as caught,
    ):
        client(server, key=LONG_KEY).complete(QUESTION)
    assert caught.value.kind == "redirect" and len(server.requests) == 1
    assert "secret" not in str(caught.value).lower() and "\n" not in str(caught.value)
