"""`train language` and `evaluate` on its runs, small."""

import json
import shlex

import pytest

from jaxrl_rewards import cli
from jaxrl_rewards.core import InputError
from jaxrl_rewards.studies.grpo_ppo_core.train import command

SMALL = shlex.split(
    "--env.task arithmetic --env.hardest 1 --network.width 16 --network.layers 1 "
    "--network.heads 2 --network.kv-heads 1 --network.hidden 16 --warm-start 20 "
    "--warm-start-batch 16 --updates 2 --prompts 4 --answers 4 --evaluation-questions 16 "
    "--chunk 1 --checkpoint-every 1"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("language") / "run"
    assert command.main([*SMALL, "--out", str(out)]) == 0
    return out


def test_a_run_leaves_what_it_says(run):
    for name in ("metrics.jsonl", "curves.png", "samples.json", "config.json", "checkpoints"):
        assert (run / name).exists()
    samples = json.loads((run / "samples.json").read_text())
    assert [answer["prompt"] for answer in samples["before"]] == [
        answer["prompt"] for answer in samples["after"]
    ]
    assert all(answer["prompt"].endswith("=") for answer in samples["before"])
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert "evaluation/accuracy" in rows[-1]


def test_a_finished_run_goes_on_without_work(run, capsys):
    before = (run / "metrics.jsonl").read_bytes()
    assert command.main([*SMALL, "--out", str(run), "--resume"]) == 0
    assert (run / "metrics.jsonl").read_bytes() == before
    assert "after 2 updates" in capsys.readouterr().out


def test_evaluate_finds_the_run(run, tmp_path, capsys):
    arguments = ["evaluate", str(run), "--episodes", "16", "--out", str(tmp_path)]
    assert cli.main(arguments) == 0
    assert "level 1:" in capsys.readouterr().out
    found = json.loads((tmp_path / "evaluation.json").read_text())
    low, high = found["level 1"]["interval"]
    assert low <= found["level 1"]["accuracy"] <= high


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--env.task sums", "--env.task is one of arithmetic"),
        ("--env.hardest 12", "max_level must lie between 1 and 9"),
        ("--env.task planted-sequence --env.easiest 9", "--env.easiest must be between"),
        ("--answers 1", "--answers must be at least 2"),
        ("--prompts 6 --minibatches 4", "--minibatches 4 must divide --prompts 6"),
        ("--prompts 6 --microbatches 4", "--microbatches 4 must divide"),
        ("--temperature 0", "--temperature must be above 0"),
        ("--loss reinfroce", "--loss is one of"),
        ("--network.heads 5", "must divide heads=5"),
        ("--network.kv-heads 3", "kv_heads=3 must divide heads"),
        ("--reward.brevity 1", "brevity"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, flags, told):
    with pytest.raises(InputError) as error:
        command.main([*flags.split(), "--out", str(tmp_path / "run")])
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
