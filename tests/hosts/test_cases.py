"""One file of cases, scored through every host and by the twins inside compiled programs."""

import asyncio
import functools
import inspect
import json
import math
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jaxrl_rewards import hosts
from jaxrl_rewards.credit import overlong_penalty
from jaxrl_rewards.rewards import text
from jaxrl_rewards.rewards.text import jitted

REWARDS = {
    "answer": text.AnswerReward,
    "cosine_length": text.CosineLengthReward,
    "format": text.TagsReward,
    "gui_g2": text.GuiG2Reward,
    "number": text.NumberReward,
    "overlong": text.OverlongReward,
    "repetition": text.RepetitionReward,
}
CASES = json.loads((Path(__file__).parent / "cases.json").read_text(encoding="utf-8"))


def reward_of(case):
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in case["options"].items()}
    return REWARDS[case["reward"]](**options)


def close(got, wanted):
    wanted = math.nan if wanted is None else wanted
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


def batches():
    """The cases by reward, as a trainer would hand them over."""
    groups = {}
    for case in CASES:
        groups.setdefault(json.dumps([case["reward"], case["options"]]), []).append(case)
    return list(groups.values())


def columns_of(batch):
    names = {name for case in batch for name in case["row"]}
    return {name: [case["row"].get(name) for case in batch] for name in sorted(names)}


def drive(value):
    return asyncio.run(value) if inspect.isawaitable(value) else value


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("batch", batches(), ids=lambda batch: batch[0]["reward"])
def test_trl(batch, asynchronous):
    reward = reward_of(batch[0])
    function = hosts.trl_reward(reward, asynchronous=asynchronous)
    assert function.__name__ == reward.name
    assert inspect.iscoroutinefunction(function) == asynchronous
    extra, metric = {}, {}
    columns = columns_of(batch)
    totals = drive(
        function(
            prompts=["p"] * len(batch),
            completions=[case["completion"] for case in batch],
            completion_ids=columns.pop("completion_ids", None),
            trainer_state=object(),
            log_extra=extra.__setitem__,
            log_metric=metric.__setitem__,
            environments=None,
            unknown="x",
            **columns,
        )
    )
    for index, (total, case) in enumerate(zip(totals, batch, strict=True)):
        assert (total is None) == (case["total"] is None)
        close(math.nan if total is None else total, case["total"])
        for name, value in case.get("terms", {}).items():
            close(extra[f"{reward.name}/{name}"][index], value)
    assert set(metric) == set(extra) == {f"{reward.name}/{name}" for name in reward.terms}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_verl(asynchronous):
    names = {}
    for case in CASES:
        function = hosts.verl_score(reward_of(case), asynchronous=asynchronous)
        assert inspect.iscoroutinefunction(function) == asynchronous
        row = dict(case["row"])
        truth = row.pop("ground_truth", None)
        told = drive(
            function(
                data_source="x",
                solution_str=case["completion"],
                ground_truth=truth,
                extra_info=row | {"num_turns": None},
                reward_router_address="none",
            )
        )
        close(told["score"], case["total"] or 0.0)
        assert told["applicable"] == (case["total"] is not None)
        assert all(math.isfinite(value) for value in told.values())
        # verl makes columns of the dicts of a batch: the same names for every completion.
        assert names.setdefault(case["reward"], list(told)) == list(told)


@pytest.mark.parametrize("batch", batches(), ids=lambda batch: batch[0]["reward"])
def test_tunix_and_batches_of_verl(batch):
    reward, columns = reward_of(batch[0]), columns_of(batch)
    completions = [case["completion"] for case in batch]
    wanted = [math.nan if case["total"] is None else case["total"] for case in batch]
    close(
        hosts.tunix_reward(reward)(prompts=["p"] * len(batch), completions=completions, **columns),
        wanted,
    )
    infos = [case["row"] for case in batch]
    truths = [row.get("ground_truth") for row in infos]
    told = hosts.verl_batch_score(reward)(["x"] * len(batch), completions, truths, infos)
    close([one["score"] for one in told], np.nan_to_num(wanted))
    for case in batch:
        output = hosts.tunix_agent_reward(reward)(case["row"], case["completion"])
        close(output.reward, case["total"] or 0.0)
        assert output.metadata["applicable"] == (case["total"] is not None)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_verifiers(asynchronous):
    for case in CASES:
        reward, row = reward_of(case), dict(case["row"])
        answer = row.pop("answer", "")
        rubric = hosts.verifiers_rubric(reward, asynchronous=asynchronous)
        given = {"prompt": "p", "completion": case["completion"], "answer": answer, "task": None}
        given |= {"info": row, "state": {}, "parser": object()}
        values = [drive(function(**given)) for function in rubric["funcs"]]
        close(values[0], case["total"] or 0.0)
        assert rubric["weights"] == [1.0] + [0.0] * len(reward.terms)
        for name, value in zip(reward.terms, values[1:], strict=True):
            if name in case.get("terms", {}):
                close(value, case["terms"][name] or 0.0)
        group = hosts.verifiers_function(reward, group=True, asynchronous=asynchronous)
        many = drive(
            group(completions=[case["completion"]], answers=[answer], infos=[row], states=[{}])
        )
        close(many, [case["total"] or 0.0])


def test_methods_of_verifiers():
    for case in CASES:
        noted = {}
        trace = SimpleNamespace(last_reply=case["completion"], record_metrics=noted.update)
        task = SimpleNamespace(data=SimpleNamespace(**case["row"]))
        reward = reward_of(case)
        close(drive(hosts.verifiers_method(reward)(task, trace)), case["total"] or 0.0)
        assert set(noted) == {f"{reward.name}/{name}" for name in reward.terms}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_openenv(asynchronous):
    for case in CASES:
        rubric = hosts.openenv_rubric(reward_of(case), asynchronous=asynchronous)
        completion = case["completion"]
        for action in (completion, SimpleNamespace(message=completion), {"text": completion}):
            observation = SimpleNamespace(metadata=case["row"], reward=None, done=True)
            close(drive(rubric(action, observation)), case["total"] or 0.0)
        for name, value in case.get("terms", {}).items():
            close(rubric.last_terms[name], value)


# ---------------------------------------------------------------- the twins

LONG = 64
number_twin = jax.jit(jitted.number_reward, static_argnums=2)
tags_twin = jax.jit(jitted.tags_reward)
box_twin = jax.jit(jitted.gui_g2_reward)
repetition_twin = jax.jit(jitted.repetition_reward, static_argnums=2)
cosine_twin = jax.jit(functools.partial(jitted.cosine_length_reward, longest=100.0))


def twin_of(case):
    given, options = case["twin"], case["options"]
    encode = functools.partial(jitted.encode_text, length=LONG)
    if case["reward"] == "gui_g2":
        return box_twin(np.float32(given["pred"]), np.float32(given["gt"]))
    if case["reward"] == "answer":
        answer = text.extract_answer(text.text_of(case["completion"])) or ""
        return number_twin(encode(answer), encode(given["target"]), "####")
    if case["reward"] == "number":
        return number_twin(encode(case["completion"]), encode(given["target"]), "####")
    if case["reward"] == "format":
        return tags_twin(encode(case["completion"]))
    if case["reward"] == "overlong":
        return overlong_penalty(given["length"], options["longest"], options["buffer"])
    if case["reward"] == "cosine_length":
        return cosine_twin(given["length"], given["correct"])
    tokens, mask = np.zeros(16, np.int32), np.arange(16) < len(given["ids"])
    tokens[mask] = given["ids"]
    return repetition_twin(tokens, mask, options["n"])


def test_twins():
    cases = [case for case in CASES if "twin" in case]
    assert {case["reward"] for case in cases} == set(REWARDS)
    for case in cases:
        close(twin_of(case), case["total"])
