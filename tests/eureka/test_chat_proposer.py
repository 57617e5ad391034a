"""The chat proposer against a local server that answers badly in every way."""

import pytest

from jaxrl_rewards.reward_design.eureka.chat import ChatProposer
from jaxrl_rewards.reward_design.eureka.search import Search, SearchConfig
from jaxrl_rewards.train.chat import ChatClient, ChatSettings, ReplayChat
from tests.eureka.toys import QUANTITIES, toy_search
from tests.fake_chat_server import FakeChatServer

GOOD = "Here:\n```python\npull = -0.5 * near\nrun = fast\n```\nDone."


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
    script = [("status", 400, {})]
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
