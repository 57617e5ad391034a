"""A search that is cut off at any point goes on to the same end; nothing is asked or paid twice."""

import dataclasses
import json
import zlib

import jax
import numpy as np
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core import files as writing
from jaxrl_rewards.core import jsonl as appending
from jaxrl_rewards.reward_design.eureka import feedback
from jaxrl_rewards.reward_design.eureka.kept_trainings import KeptTrainings
from jaxrl_rewards.reward_design.eureka.trainer import Runs
from jaxrl_rewards.studies.eureka.train import render, tasks
from jaxrl_rewards.studies.eureka.train.command import EurekaTask, run_eureka
from jaxrl_rewards.train.chat import ChatClient, ChatError, ChatSettings, ContinuedChat
from tests.eureka.toys import QUANTITIES, UPDATES
from tests.fake_chat_server import FakeChatServer


class Killed(BaseException):
    """Stands for the end of the process."""


class Fate:
    """Raises at the given event; counts all of them."""

    def __init__(self, last=None):
        self.events, self.last = 0, last

    def __call__(self):
        self.events += 1
        if self.events == self.last:
            raise Killed


@dataclasses.dataclass
class ToyTrainer:
    """Fitness and logs follow from programs and keys."""

    fate: Fate
    trained: int = 0

    def train(self, programs, keys, *, success_weight=0.0):
        data = np.asarray(jax.random.key_data(keys))
        seeds = []
        for run in range(keys.shape[0]):
            own = jax.tree.map(lambda leaf, run=run: np.asarray(leaf)[run], programs)
            text = b"".join(leaf.tobytes() for leaf in jax.tree.leaves(own)) + data[run].tobytes()
            seeds.append(zlib.crc32(text))
        self.trained += len(seeds)
        self.fate()
        draws = [np.random.default_rng(seed).random((UPDATES, 14)) for seed in seeds]
        values = np.stack(draws).astype(np.float32)
        return Runs(
            fitness=values[:, 0, 0], success=values[..., 1], reward=values[..., 0],
            terms=values[..., 2:],
        )  # fmt: skip


@pytest.fixture
def world(monkeypatch):
    """The command in a toy world; gives `search(folder, resume, fate) -> code` and what it cost."""
    cost = {"trained": 0, "asked": 0}

    def search(folder, fate, resume, **more):
        trainer = ToyTrainer(fate)
        room = tasks.Task(trainer=trainer, quantities=QUANTITIES, text="Go.", human={})
        monkeypatch.setitem(tasks.TASKS, "keydoor", lambda config: room)
        monkeypatch.setattr(render, "keydoor_rollout", lambda *_: "picture")

        def judge(first, second):
            cost["asked"] += 1
            return feedback.Preference(first[0], second[0], "second", f"words {cost['asked']}")

        append, replace = appending.append_bytes, writing.os.replace

        def appended(path, data, *, sync=False):
            append(path, data, sync=sync)
            fate()

        def replaced(*paths):
            fate()
            replace(*paths)

        with monkeypatch.context() as patch:
            patch.setattr(feedback, "ask_in_terminal", judge)
            patch.setattr(appending, "append_bytes", appended)
            patch.setattr(writing.os, "replace", replaced)
            task = EurekaTask(
                out=folder, candidates=3, generations=3, seeds=2, resume=resume,
                preferences="ask", **more,
            )  # fmt: skip
            try:
                return run_eureka(task)
            finally:
                cost["trained"] += trainer.trained

    return search, cost


FILES = ("candidates.json", "best.txt", "proposals.jsonl", "answers.jsonl")


def results(folder):
    return [(folder / name).read_bytes() for name in FILES]


def answers(server):
    """Every question gets another program, now and then something else."""
    number = len(server.requests)
    if number % 4 == 3:
        return "I would rather not."
    return f"```\npull = -{number}.5 * near\nrun = 0.{number} * fast\n```"


@pytest.mark.parametrize("proposer", ["chat", "offline", "random"])
def test_cut_off_anywhere_it_goes_on_to_the_same_end(world, proposer, tmp_path, monkeypatch):
    search, cost = world

    def paid(name, cut):
        cost.update(trained=0, asked=0)
        with FakeChatServer() as server:
            server.reply = lambda messages: answers(server)
            monkeypatch.setenv("JAXRL_CHAT_URL", server.url)
            monkeypatch.setenv("JAXRL_CHAT_MODEL", "toy")
            fate = Fate(cut)
            more = {"proposer": proposer, "samples": 1}
            try:
                code = search(tmp_path / name, fate, False, **more)
            except Killed:
                assert search(tmp_path / name, Fate(), True, **more) == 0
            else:
                assert code == 0
            return fate.events, len(server.requests)

    events, questions = paid("whole", None)
    expected, spent = results(tmp_path / "whole"), dict(cost)
    assert (questions, cost["asked"]) == (9 if proposer == "chat" else 0, 2)
    for cut in range(1, events + 1, 1 if proposer == "chat" else 3):
        _, asked = paid(str(cut), cut)
        assert results(tmp_path / str(cut)) == expected, cut
        assert asked == questions and cost["asked"] == spent["asked"], cut
        assert cost["trained"] - spent["trained"] in (0, 2, 4, 6), cut  # at most one generation


def test_a_finished_search_is_read_back_and_may_be_made_longer(world, tmp_path):
    search, cost = world
    assert search(tmp_path, Fate(), False) == 0
    expected, spent = results(tmp_path), dict(cost)
    assert search(tmp_path, Fate(), True) == 0
    assert results(tmp_path) == expected and cost == spent
    with pytest.raises(InputError, match="holds a search"):
        search(tmp_path, Fate(), False)
    with pytest.raises(InputError, match=r"seed = 0, now it is 1"):
        search(tmp_path, Fate(), True, seed=1)


def test_damaged_trainings_and_recordings_are_made_anew(world, tmp_path):
    search, cost = world
    assert search(tmp_path, Fate(), False) == 0
    expected = results(tmp_path)
    for number, path in enumerate(sorted((tmp_path / "trainings").iterdir())):
        path.write_bytes([b"", path.read_bytes()[:-40], b"x" * 99][number])
    lines = (tmp_path / "proposals.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "proposals.jsonl").write_text("".join(lines[:5]) + lines[5][:30])
    spent = cost["trained"]
    assert search(tmp_path, Fate(), True) == 0
    assert results(tmp_path) == expected
    assert cost["trained"] == 2 * spent


def test_kept_trainings_are_those_of_the_same_programs_and_keys(tmp_path):
    trainer = ToyTrainer(Fate())
    kept = KeptTrainings(trainer, tmp_path)
    programs = {"a": np.arange(3.0)}
    keys = jax.random.split(jax.random.key(0), 3)
    first = kept.train(programs, keys)
    again = kept.train(programs, keys)
    assert trainer.trained == 3
    for name in ("fitness", "success", "reward", "terms"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    kept.train({"a": np.arange(1.0, 4.0)}, keys)
    kept.train(programs, jax.random.split(jax.random.key(1), 3))
    kept.train(programs, keys, success_weight=1.0)
    assert trainer.trained == 12


def test_a_continued_chat_counts_what_was_spent_and_asks_for_the_rest_only(tmp_path):
    log = tmp_path / "chat.jsonl"
    question = [{"role": "user", "content": "Go on?"}]

    def chat(server, **more):
        return ContinuedChat(ChatClient(ChatSettings(server.url, "m", **more), log=log), log)

    script = [("answer", "one"), ("status", 401, {}), ("answer", "two")]
    with FakeChatServer(script=script) as server:
        first = chat(server)
        assert first.complete(question).texts == ("one",)
        with pytest.raises(ChatError, match="401"):
            first.complete(question)
        second = chat(server, token_budget=first.client.spent + 2)
        assert second.client.spent == first.client.spent > 0
        assert second.complete(question).texts == ("one",)
        with pytest.raises(ChatError, match="401"):
            second.complete(question)
        with pytest.raises(ChatError, match="tokens are spent"):
            second.complete(question)
        third = chat(server)
        with third.rehearsing():
            assert third.complete(question).texts == ("one",)
            with pytest.raises(ChatError, match="401"):
                third.complete(question)
            with pytest.raises(ChatError, match="no further answer"):
                third.complete(question)
        assert third.complete(question).texts == ("two",)
        assert len(server.requests) == 3
    assert all(json.loads(line) for line in log.read_text().splitlines())
