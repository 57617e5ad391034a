"""The chat proposer against a local server that answers badly in every way."""

import pytest

from jaxrl_rewards.reward_design.eureka.chat import ChatProposer, read_answer
from jaxrl_rewards.reward_design.eureka.proposers import Context
from jaxrl_rewards.reward_design.eureka.recording import RecordingProposer
from jaxrl_rewards.reward_design.eureka.search import Search, SearchConfig
from jaxrl_rewards.studies.eureka.train.command import EurekaTask, make_proposer
from jaxrl_rewards.train.chat import ChatClient, ChatSettings, ReplayChat
from tests.eureka.toys import QUANTITIES, toy_search
from tests.fake_chat_server import FakeChatServer, completion

GOOD = "Here:\n```python\npull = -0.5 * near\nrun = fast\n```\nDone."
CONTEXT = Context(quantities=QUANTITIES, task="Go there.", generation=0, archive=[])
TAGS = ("", "python", "text", "plaintext", "reward", "Python", "py", "c++", " {.txt}", "py title=x")


def client(server, **changes):
    settings = dict(timeout=0.4, retries=1, backoff=0.01, longest_wait=0.05)
    log = changes.pop("log", None)
    return ChatClient(ChatSettings(url=server.url, model="toy", **{**settings, **changes}), log=log)


BAD = [
    ("answer", "I would rather not."),
    ("answer", "```\npull = -goal\n```"),
    ("answer", "```\nimport os; os.system('x')\n```"),
    ("answer", "```\npull = -near.__class__\n```"),
    ("answer", "```\n" + "a = near\n" * 20 + "```"),
    ("answer", "``````"),
    ("raw", b"{not json"),
    ("raw", b'{"choices": []}'),
    ("status", 429, {"Retry-After": "0"}),
    ("status", 429, {"Retry-After": "0"}),
    ("status", 401, {}),
    ("hang", 0.6),
    ("hang", 0.6),
    ("drop",),
    ("drop",),
    ("answer", GOOD),
]
"""Failures that may pass are tried twice (one retry), so they stand here in pairs."""


def test_every_fault_is_counted_reported_and_survived(tmp_path):
    log = tmp_path / "chat.jsonl"
    with FakeChatServer(script=BAD, reply=lambda messages: GOOD) as server:
        proposer = ChatProposer(client(server, log=log), samples=1)
        config = SearchConfig(candidates=12, seeds=1, form="tape")
        search = toy_search(Search(proposer, QUANTITIES, config, task="Go there."), 2)
        asked = [request["body"] for request in server.requests]
    first = [one for one in search.archive if one.generation == 0]
    assert [one.status for one in first] == [
        *("no program", "refused", "refused", "refused", "refused", "no program"),
        *("no answer", "no answer", "no answer", "no answer", "no answer"),
        "trained",
    ]
    errors = [one.error for one in first]
    kinds = [error.split(":")[0] for error in errors[6:11]]
    assert kinds[0] == "malformed" and kinds[1:3] == ["status", "status"]
    assert kinds[3] == "timeout" and kinds[4] == "connection"
    assert [one.status for one in search.archive[12:]] == ["trained"] * 12
    question = asked[-1]["messages"]
    assert "no quantity 'goal'" in question[-1]["content"]
    assert "11 of the last programs could not be used" in question[-1]["content"]
    assert "pull = -0.5 * near" in question[-2]["content"] and "task_score" in str(question)
    assert "Go there." in question[1]["content"] and "near (number, m" in question[1]["content"]
    # the log repeats the search without a server
    again = toy_search(
        Search(ChatProposer(ReplayChat(log), samples=1), QUANTITIES, config, task="Go there."), 2
    )
    assert [one.record() for one in again.archive] == [one.record() for one in search.archive]


def test_samples_per_request_are_halved_after_a_failure():
    script = [("status", 403, {})]
    with FakeChatServer(script=script, reply=lambda messages: GOOD) as server:
        proposer = ChatProposer(client(server), samples=4)
        search = toy_search(Search(proposer, QUANTITIES, SearchConfig(candidates=12, seeds=1)), 1)
        asked = [request["body"]["n"] for request in server.requests]
    assert asked == [4, 2, 2, 2, 2]
    assert search.counts() == {"trained": 8, "no answer": 4}


def test_the_token_budget_ends_asking_but_not_the_search():
    with FakeChatServer(reply=lambda messages: GOOD) as server:
        proposer = ChatProposer(client(server, token_budget=1500), samples=2, max_tokens=100)
        search = toy_search(Search(proposer, QUANTITIES, SearchConfig(candidates=200, seeds=1)), 2)
        asked = len(server.requests)
    counts = search.counts()
    assert 0 < counts["trained"] == 2 * asked and counts["over budget"] == 400 - 2 * asked
    assert "budget" in search.archive[-1].error


@pytest.mark.parametrize("samples", [0, -1])
def test_samples_must_be_positive(samples):
    with pytest.raises(ValueError, match="samples"):
        ChatProposer(None, samples=samples)


@pytest.mark.parametrize(("field", "value"), [("max_tokens", 0), ("temperature", float("nan"))])
def test_what_is_asked_must_make_sense(field, value):
    with pytest.raises(ValueError, match=field):
        ChatProposer(None, **{field: value})


@pytest.mark.parametrize("most", [1, 3])
def test_no_candidate_is_lost_where_a_server_gives_fewer_choices(most):
    with FakeChatServer(reply=lambda messages: GOOD, most=most) as server:
        found = ChatProposer(client(server), samples=4).propose(CONTEXT, 8)
        asked = [request["body"].get("n", 1) for request in server.requests]
    assert [one.status for one in found] == ["waiting"] * 8
    assert asked == ([4] + [1] * 7 if most == 1 else [4, 1, 3, 1])


def test_answers_that_are_thought_only_fail_with_the_remedy():
    choice = {"finish_reason": "length", "message": {"content": None, "reasoning_content": "hm"}}
    reply = {"choices": [choice] * 4, "usage": {"total_tokens": 900}}
    with FakeChatServer(own=lambda body, headers: (200, reply)) as server:
        asking = client(server, token_budget=1500)
        found = ChatProposer(asking, max_tokens=100).propose(CONTEXT, 8)
    assert [one.status for one in found] == ["no answer"] * 4 + ["over budget"] * 4
    assert "raise max_tokens" in found[0].error and asking.spent == 900
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        *((f"Here:\n```{tag}\nnear = 1.0\n```\n", "near = 1.0") for tag in TAGS),
        ("```near = 1.0\nfar = 2\n```", "near = 1.0\nfar = 2"),
        ("```\nnear = 1.0\n```", "near = 1.0"),
        ("```text\nnear = 1\n```\nor\n```Python\nfar = 2\n```", "far = 2"),
        ("near = 1.0\n\nfar = 2\n", "near = 1.0\n\nfar = 2"),
        ("<think>Maybe\n```\ndraft = 1\n```\nno.</think>\n```\nfinal = 2\n```", "final = 2"),
        ("no start mark ```draft = 1```</think>```final = 2```", "final = 2"),
        ("<think>```draft = 1```", ""),
        ('<think>"""draft = 1"""</think>final = 2.0', "final = 2.0"),
        ("```text\n```", ""),
        ("```text\n```\n```\nnear = 1\n```", "near = 1"),
        ("```python near = 1```", "near = 1"),
        ("```python near = 1\nfar = 2```", "near = 1\nfar = 2"),
        ("```exp(near)```", "exp(near)"),
        ("```a" + " " * 60_000 + "```", "a"),
        ("I would rather not.", ""),
    ],
)
def test_the_program_of_an_answer(answer, program):
    found = read_answer(answer)
    assert found.text == program
    assert found.status == ("waiting" if program else "no program")


def test_the_flags_of_the_command_reach_the_server(monkeypatch, tmp_path):
    with FakeChatServer(reply=lambda messages: GOOD) as server:
        monkeypatch.setenv("JAXRL_CHAT_URL", server.url)
        monkeypatch.setenv("JAXRL_CHAT_MODEL", "toy")
        task = EurekaTask(
            proposer="chat", out=tmp_path, max_tokens=77, temperature=0.25, samples=3, time_budget=9
        )
        proposer = make_proposer(task)
        assert len(proposer.propose(CONTEXT, 3)) == 3
    (request,) = server.requests
    body = request["body"]
    assert (body["max_tokens"], body["temperature"], body["n"]) == (77, 0.25, 3)
    assert proposer.proposer.chat.client.settings.time_budget == 9


def test_the_key_is_in_no_proposal_and_no_log(tmp_path):
    key = "sk-SECRET-abcdefghijklmnop"

    def echo(body, headers):
        told = headers["Authorization"]
        if len(server.requests) == 2:
            return 401, ("e" * (301 - len(told)) + told).encode()
        return 200, completion([f"```\nr = 1 {told}\n```", f"{told[:20]} is no key"])

    with FakeChatServer(own=echo) as server:
        inner = ChatProposer(client(server, key=key, log=tmp_path / "chat.jsonl"), samples=2)
        RecordingProposer(inner, tmp_path / "proposals.jsonl").propose(CONTEXT, 6)
    for name in ("chat.jsonl", "proposals.jsonl"):
        text = (tmp_path / name).read_text()
        assert "[key]" in text and key[:6] not in text and key[-6:] not in text
