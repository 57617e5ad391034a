"""Every snippet of the page on other trainers runs, with small stand-ins for the trainers."""

import asyncio
import inspect
import re
import runpy
import sys
from types import ModuleType, SimpleNamespace

import pytest

from jaxrl_rewards.hosts import ready


@pytest.fixture(scope="module")
def blocks(repository):
    page = (repository / "docs/pages/how-to/hosts.md").read_text(encoding="utf-8")
    found, title = {}, ""
    for part in re.split(r"(```.*?```)", page, flags=re.DOTALL):
        if part.startswith("```python\n"):
            found.setdefault(title, []).append(part[10:-3])
        elif titles := re.findall(r"^#+ (.*)$", part, re.MULTILINE):
            title = titles[-1]
    return found


def stand_in(monkeypatch, name, **contents):
    """A module of that name, and of all above it."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        module = ModuleType(".".join(parts[:end]))
        monkeypatch.setitem(sys.modules, module.__name__, module)
    vars(module).update(contents)


def run(block):
    space = {"__name__": "page"}
    exec(compile(block, "hosts.md", "exec"), space)
    return space


class Rows(list):
    from_list = classmethod(lambda cls, rows: cls(rows))


def test_every_block_is_tested(blocks):
    counts = {title: len(found) for title, found in blocks.items()}
    names = ["Rewards for other trainers", "TRL", "verl", "tunix", "verifiers", "OpenEnv"]
    assert counts == dict.fromkeys(names, 1) | {"verifiers": 2}


def test_the_first_block(blocks):
    (block,) = blocks["Rewards for other trainers"]
    space = {}
    lines = block.strip().splitlines()
    for line in lines[:2]:
        exec(line, space)
    answer = eval(lines[2], space)
    assert lines[3] == f"# {answer}"
    pointing = eval(lines[4], space)
    told = [round(value, 2) for value in (pointing.total, *list(pointing.terms.values())[:2])]
    assert [float(number) for number in re.findall(r"\d\.\d+", lines[5])] == told


def test_trl(blocks, monkeypatch):
    """The stand-in calls reward functions as the trainer does, two completions a prompt."""
    seen = {}

    class Trainer:
        def __init__(self, model, reward_funcs, args, train_dataset):
            self.functions, self.rows = reward_funcs, train_dataset

        def train(self):
            rows = [row for row in self.rows for _ in range(2)]
            completions = [
                [{"role": "assistant", "content": c}]
                for c in ("<think>x</think><answer>42</answer>", "41", "\\boxed{\\frac34}", "0.75")
            ]
            for function in self.functions:
                assert not inspect.iscoroutinefunction(function)
                seen[function.__name__] = function(
                    prompts=[row["prompt"] for row in rows],
                    completions=completions,
                    completion_ids=[[1] * 512, [1], [1], [1]],
                    answer=[row["answer"] for row in rows],
                    trainer_state=None,
                    log_extra=lambda name, values: None,
                    log_metric=lambda name, value: None,
                )

    stand_in(monkeypatch, "trl", GRPOTrainer=Trainer, GRPOConfig=lambda **options: options)
    stand_in(monkeypatch, "datasets", Dataset=Rows)
    run(blocks["TRL"][0])
    assert seen == {
        "answer": [1.0, 0.0, 1.0, 1.0],
        "format": [1.0, 0.0, 0.0, 0.0],
        "overlong": [-1.0, 0.0, 0.0, 0.0],
    }


def test_verl(blocks):
    compute_score = run(blocks["verl"][0])["compute_score"]
    told = compute_score(
        data_source="x", solution_str="so 42", ground_truth="42", extra_info={"num_turns": None}
    )
    assert told["score"] == 1.0 and told["applicable"] == 1.0
    assert told["answer"] == 1.0 and told["overlong/length"] == 2.0


def test_tunix(blocks, monkeypatch):
    stand_in(monkeypatch, "tunix.rl.grpo.grpo_learner", GRPOLearner=SimpleNamespace)
    space = run(blocks["tunix"][0])
    learner = space["learner"](None, None)
    given = {"prompts": ["a", "b"], "completions": ["42", "no no no no no"], "answer": ["42", "1"]}
    totals = [function(**given) for function in learner.reward_fns]
    assert totals[0] == [1.0, 0.0] and totals[1] == pytest.approx([0.0, -2 / 3])
    assert space["judge"]({"answer": "42"}, "it is 42").reward == 1.0


def test_tasks_of_verifiers(blocks, monkeypatch):
    class Task:
        __class_getitem__ = classmethod(lambda cls, data: cls)

        def __init__(self, data):
            self.data = data

    def reward(weight):
        def mark(function):
            function.weight = weight
            return function

        return mark

    stand_in(monkeypatch, "verifiers.v1", Task=Task, TaskData=SimpleNamespace, reward=reward)
    space = run(blocks["verifiers"][0])
    task, metrics = space["SumTask"](space["Sum"](answer="42")), {}
    reply = "<think>x</think><answer>42</answer>"
    trace = SimpleNamespace(last_reply=reply, record_metrics=metrics.update)
    # The host finds what a method asks for by the names of its arguments.
    assert list(inspect.signature(task.correct).parameters) == ["trace"]
    values = [asyncio.run(method(trace=trace)) for method in (task.correct, task.form)]
    assert values == [1.0, 1.0] and (task.correct.weight, task.form.weight) == (1.0, 0.1)
    assert metrics == {"answer/found": 1.0, "format/marks": 1.0}


def test_verifiers(blocks, monkeypatch):
    class Rubric:
        def __init__(self, funcs, weights):
            self.functions, self.weights = funcs, weights

    stand_in(monkeypatch, "verifiers", Rubric=Rubric, SingleTurnEnv=SimpleNamespace)
    stand_in(monkeypatch, "datasets", Dataset=Rows)
    environment = run(blocks["verifiers"][1])["environment"]
    rubric, (row,) = environment.rubric, environment.dataset
    completion = [{"role": "assistant", "content": "\\boxed{42}"}]
    values = [
        function(
            prompt="p", completion=completion, answer=row["answer"], info={}, state={}, task=None
        )
        for function in rubric.functions
    ]
    assert values == [1.0, 1.0] and rubric.weights == [1.0, 0.0]
    assert [function.__name__ for function in rubric.functions] == ["answer", "answer_found"]


def test_openenv(blocks, monkeypatch):
    class Rubric:
        """As OpenEnv's: attributes are set with care, calls go through `forward`."""

        def __init__(self):
            object.__setattr__(self, "last_score", None)

        def __call__(self, action, observation):
            self.last_score = self.forward(action, observation)
            return self.last_score

    class WeightedSum(Rubric):
        def __init__(self, rubrics, weights):
            super().__init__()
            self.rubrics, self.weights = rubrics, weights

        def forward(self, action, observation):
            pairs = zip(self.rubrics, self.weights, strict=True)
            return sum(weight * rubric(action, observation) for rubric, weight in pairs)

    stand_in(monkeypatch, "openenv.core.rubrics", Rubric=Rubric, WeightedSum=WeightedSum)
    rubric = run(blocks["OpenEnv"][0])["rubric"]
    action = SimpleNamespace(message="<think>x</think><answer>42</answer>")
    assert rubric(action, SimpleNamespace(metadata={"answer": "42"})) == pytest.approx(1.0)
    assert isinstance(rubric.rubrics[0], Rubric) and rubric.rubrics[0].last_score == 1.0
    assert rubric.rubrics[0].last_terms == {"found": 1.0}


def test_ready_made_callables(capsys):
    completions = [[{"role": "assistant", "content": "<think>a</think><answer>42</answer>"}]]
    assert ready.answer(prompts=["p"], completions=completions, answer=["42"]) == [1.0]
    assert ready.tags(prompts=["p"], completions=completions) == [1.0]
    assert ready.overlong(completions=completions) == [None]
    assert ready.repetition(completions=completions) == [0.0]
    assert ready.gui_g2(completions=["[0,0,2,2]"], bbox=[[0, 0, 2, 2]]) == [2.0]
    assert ready.compute_score("x", "<think>a</think><answer>42</answer>", "42")["score"] == 1.1
    assert ready.compute_gui_score("x", "[0,0,2,2]", "[0,0,2,2]")["score"] == 2.0
    assert ready.tunix_answer(["p"], ["42"], answer=["42"]) == [1.0]
    # verl runs the file itself, by its path.
    assert runpy.run_path(ready.__file__)["compute_score"]("x", "5", "5")["score"] == 1.0
    runpy.run_path(ready.__file__, run_name="__main__")
    assert capsys.readouterr().out.strip() == ready.__file__


def test_coroutine_functions_run_side_by_side():
    """As TRL gathers them: one batch does not hold up another."""
    from jaxrl_rewards.hosts import trl_reward

    order = []

    async def slow(text, row):
        order.append(f"begin {text}")
        await asyncio.sleep(0.01)
        order.append(f"end {text}")
        return 1.0

    async def both():
        function = trl_reward(slow, asynchronous=True)
        return await asyncio.gather(function(completions=["a", "b"]), function(completions=["c"]))

    assert asyncio.run(both()) == [[1.0, 1.0], [1.0]]
    assert order[:3] == ["begin a", "begin b", "begin c"]
