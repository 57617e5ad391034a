"""The command line: help, one clear sentence for bad input, and whole runs in small."""

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jaxrl_rewards.cli import VERBS, main
from tests.studies.test_studies_api import ToyConfig, toy_study

REPOSITORY = Path(__file__).resolve().parents[2]


def call(*arguments) -> int:
    """The exit code of one command in this process."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)


def refused(capsys, *arguments) -> str:
    """The message of a command that must end with code 2, without a traceback."""
    code = call(*arguments)
    shown = capsys.readouterr()
    assert code == 2, shown
    assert "Traceback" not in shown.out + shown.err
    assert shown.err.strip(), "nothing on stderr"
    return shown.err


SMALL = (
    "--num-envs", 4, "--unroll-length", 8, "--num-epochs", 1, "--num-minibatches", 1,
    "--hidden", 8, "--evaluation-episodes", 2, "--chunk", 2,
)  # fmt: skip


def test_help_names_every_verb(capsys):
    assert call("--help") == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in VERBS)
    assert call() == 2
    assert call("--version") == 0
    assert capsys.readouterr().out.strip().split("\n")[-1].startswith("jaxrl-rewards 0.")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(capsys, verb):
    assert call(verb, "--help") == 0
    text = capsys.readouterr().out
    assert f"jaxrl-rewards {verb}" in text and len(text.splitlines()) > 3


@pytest.mark.parametrize(
    "arguments", [("train", "ppo"), ("train", "gui"), ("reproduce", "grpo_ppo_core")]
)
def test_tasks_and_studies_have_help(capsys, arguments):
    assert call(*arguments, "--help") == 0
    text = capsys.readouterr().out
    assert "--out" in text and "default" in text


@pytest.mark.parametrize("verb", ["train", "reproduce"])
def test_a_verb_that_needs_a_name_shows_the_names(capsys, verb):
    assert call(verb) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dance",), ("'dance'", "list, reproduce")),
        (("train", "dance"), ("'dance'", "ppo")),
        (("reproduce", "gui_g3"), ("'gui_g3'", "gui_g2")),
        (("bench", "dance"), ("'dance'", "ppo")),
        (("list", "--dance"), ("--dance",)),
        (("evaluate",), ("run",)),
        (("evaluate", "no/such/folder"), ("no/such/folder", "gui")),
        (("train", "ppo", "--env", "CartPole-v2"), ("'CartPole-v2'", "'CartPole-v1'")),
        (("train", "ppo", "--dance", "1"), ("--dance",)),
        (("train", "ppo", "--steps", "many"), ("--steps needs a whole number", "many")),
        (("train", "ppo", "--steps", "1.5"), ("--steps needs a whole number", "1.5")),
        (("train", "ppo", "--discount=high"), ("--discount needs a number", "high")),
        (("train", "ppo", "alive=1"), ("'alive=1'", "no option", "--")),
        (("train", "ppo", "--steps"), ("--steps needs a value",)),
        (("train", "ppo", "--steps", "--seed", "3"), ("--steps needs a value",)),
        (("train", "ppo", "--target-kl", "0"), ("--target-kl", "above 0")),
        (("train", "ppo", "--stepz", "5"), ("--stepz is no option", "--steps?")),
        (("train", "ppo", "--reward.torque", "1"), ("no term 'torque'", "alive")),
        (("train", "ppo", "--reward.alive", "much"), ("--reward.alive needs a number", "much")),
        (("train", "ppo", "--reward-weights", "alive"), ("NAME=NUMBER", "alive")),
        (("train", "ppo", "--reward-weights"), ("needs weights by name",)),
        (("train", "ppo", "--preset", "Pong"), ("no preset for 'Pong'", "CartPole-v1")),
        (("train", "ppo", "--steps", "0"), ("--steps", "at least 1")),
        (("train", "ppo", "--seeds", "0"), ("--seeds",)),
        (("train", "ppo", "--seed", "-1"), ("--seed",)),
        (("train", "ppo", "--discount", "1.5"), ("--discount", "1.5")),
        (("train", "ppo", "--learning-rate", "nan"), ("--learning-rate", "nan")),
        (("train", "ppo", "--entropy-coefficient", "inf"), ("--entropy-coefficient",)),
        (("train", "ppo", "--max-grad-norm", "-1"), ("--max-grad-norm",)),
        (("train", "ppo", "--checkpoint-every", "-1"), ("--checkpoint-every",)),
        (("train", "ppo", "--num-envs", "0"), ("num_envs", "at least 1")),
        (("train", "ppo", "--num-minibatches", "7"), ("num_minibatches=7", "divide")),
        (("train", "ppo", "--activation", "swash"), ("'swash'", "tanh")),
        (("train", "ppo", "--auto-reset", "never"), ("'never'", "fresh")),
        (("train", "ppo", "--time-limits", "never"), ("'never'", "bootstrap")),
        (("train", "ppo", "--reward-weights"), ("--reward-weights", "torque=0")),
        (("train", "ppo", "--reward-weights", "{"), ("--reward-weights", "JSON")),
        (("train", "ppo", "--reward-weights", "speed=1"), ("'speed'", "alive")),
        (("train", "ppo", "--reward-weights", "alive=much"), ("'alive'", "'much'")),
        (("train", "ppo", "--reward.alive", "nan"), ("--reward.alive", "'nan'")),
        (("train", "ppo", "--reward.alive"), ("--reward.alive", "number")),
        (("train", "ppo", "--reward.speed", "1"), ("'speed'", "alive")),
        (("train", "ppo", "--reward.alive", "1", "--reward.alive=2"), ("'alive'", "twice")),
        (("train", "ppo", "alive=1"), ("'alive=1'", "no option", "--alive")),
        (("train", "ppo", "--step", "9.5"), ("--step", "did you mean --steps")),
        (("train", "ppo", "--steps", "9.5"), ("--steps", "whole number", "9.5")),
        (("train", "ppo", "--steps"), ("--steps needs a value",)),
        (("train", "ppo", "--learning-rate", "1e39"), ("--learning-rate needs", "32 bits", "1e39")),
        (("train", "ppo", "--discount=1e-60"), ("--discount needs a number", "1e-60")),
        (("train", "ppo", "--clip", "x"), ("--clip needs a number", "'x'")),
        (("train", "ppo", "--target-kl", "0"), ("--target-kl", "above 0")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    capsys, tmp_path, monkeypatch, arguments, words
):
    monkeypatch.chdir(tmp_path)
    message = refused(capsys, *arguments)
    flat = " ".join(message.replace("│", " ").split())
    for word in words:
        assert word in flat, message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["reproduce exprd --quick", "design model.npz"])
def test_a_file_in_the_place_of_the_results_is_refused_first(capsys, tmp_path, monkeypatch, verb):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text("x")
    if "design" in verb:
        import numpy as np

        np.savez(
            tmp_path / "model.npz", T=np.array([[[0.0, 1.0]], [[0.0, 1.0]]]),
            R=np.array([[1.0], [0.0]]), init=np.array([1.0, 0.0]),
            terminal=np.array([False, True]),
        )  # fmt: skip
    assert "m.py is a file; give a folder" in refused(capsys, *verb.split(), "--out", "m.py")


def test_switches_stand_alone_or_with_a_value():
    from jaxrl_rewards.commands.train_ppo import PPOTask
    from jaxrl_rewards.train.arguments import parse

    def read(*arguments):
        return parse(PPOTask, arguments, prog="x", description="x")

    assert read().resume is False and read().anneal is True
    assert read("--resume", "--clip", "0.3").resume is True
    task = read("--anneal", "False", "--share-trunk", "--normalise_rewards", "True", "--resume")
    assert (task.anneal, task.ppo.share_trunk, task.ppo.normalise_rewards) == (False, True, True)
    assert task.resume and task.clip == 0.2
    assert read("--steps", "1e6").steps == 1_000_000 == read("--steps=1E6").steps
    assert read("--target-kl", "0.02", "--checkpoint-every", "5").target_kl == 0.02


def test_options_of_nested_settings_are_known_by_their_prefix():
    from jaxrl_rewards.studies.sparse_retargeting.train.task import RetargetTask
    from jaxrl_rewards.train.arguments import parse

    task = parse(
        RetargetTask,
        ["--env.character", "dinosaur", "--env.generated", "walk:0", "turn:1",
         "--env.damping=2e-2"],
        prog="x", description="x", prefixes=True,
    )  # fmt: skip
    assert task.env.character == "dinosaur" and task.env.generated == ("walk:0", "turn:1")
    assert task.env.damping == 0.02
    with pytest.raises(ValueError, match="is no option of x; did you mean --env.character"):
        parse(RetargetTask, ["--env.charakter", "mouse"], prog="x", description="x", prefixes=True)


def test_every_training_in_readme_and_pages_is_understood():
    """Its options exist; what it would do is not done."""
    from jaxrl_rewards.commands.train_ppo import PPOTask
    from jaxrl_rewards.studies.eureka.train.command import EurekaTask
    from jaxrl_rewards.studies.sparse_retargeting.train.task import RetargetTask
    from jaxrl_rewards.train.arguments import _checked, _flags
    from jaxrl_rewards.train.reward_options import split_reward_options

    kinds = {"ppo": (PPOTask, None), "retarget": (RetargetTask, ""), "eureka": (EurekaTask, None)}
    pages = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs" / "pages").rglob("*.md"))]
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages)
    found = re.findall(r"jaxrl-rewards train (ppo|retarget|eureka)\b([^`\n;#>]*)", text)
    assert len(found) >= 10
    for name, rest in found:
        kind, prefix = kinds[name]
        words = shlex.split(rest.rstrip("\\ |"))
        arguments = split_reward_options(words) if name == "ppo" else words
        _checked(arguments, _flags(kind, prefix), f"train {name}")


def test_weights_of_rewards_are_given_by_name():
    from jaxrl_rewards.commands.train_ppo import PPOTask, build_ppo
    from jaxrl_rewards.train.reward_options import split_reward_options

    for arguments in (
        ["--reward.torque", "-0.5", "--seed", "3"],
        ["--seed", "3", "--reward.torque=-0.5"],
        ["--reward-weights", "torque=-0.5", "--seed", "3"],
        ["--reward_weights", '{"torque": -0.5}', "--seed", "3"],
    ):
        rest = split_reward_options(arguments)
        assert rest == ["--seed", "3", "--reward-weights", '{"torque": -0.5}']
    both = split_reward_options(["--reward-weights", "a=1", "b=2e3", "--resume"])
    assert both == ["--resume", "--reward-weights", '{"a": 1.0, "b": 2000.0}']
    _, learner = build_ppo(PPOTask(env="Pendulum-v1", reward_weights='{"torque": 0.25}'))
    reward = learner.hparams.env_params.reward
    assert float(dict(zip(reward.names, reward.weights))["torque"]) == 0.25


def test_recipes_set_what_flags_do_not():
    from jaxrl_rewards.commands.train_ppo import PPOTask, recommended
    from jaxrl_rewards.learners import PPOConfig, PPOHParams
    from jaxrl_rewards.learners.presets import PRESETS

    task = recommended(["--env", "Pendulum-v1"])
    assert task.discount == PRESETS["Pendulum-v1"].numbers["discount"]
    assert task.ppo == PPOConfig.for_env("Pendulum-v1")
    assert recommended(["--env=Pendulum-v1", "--preset", "none"]) == PPOTask(env="Pendulum-v1")
    assert recommended(["--env", "unknown"]) == PPOTask(env="unknown")
    other = recommended(["--env", "unknown", "--preset", "Pendulum-v1"])
    assert other.ppo == task.ppo and other.env == "unknown"
    for name, recipe in PRESETS.items():
        PPOConfig.for_env(name, num_epochs=1)
        hparams = PPOHParams.for_env(name, env_params=())
        assert float(hparams.learning_rate.at(0)) == pytest.approx(recipe.numbers["learning_rate"])
        assert float(hparams.learning_rate.at(recipe.updates)) == 0.0


def test_list_as_json(capsys, tmp_path):
    assert call("list", "--json", "--results", tmp_path) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"systems", "worlds"}
    assert {"gui_g2", "grpo_ppo_core"} <= set(report["systems"])
    assert "CartPole-v1" in report["worlds"]
    for slug, system in report["systems"].items():
        assert set(system) == {
            "title", "paper", "functions", "worlds", "claims", "status", "last",
        }, slug  # fmt: skip
        assert system["status"] == "not measured here" and system["last"] is None
        assert system["claims"] and system["functions"]


def test_list_shows_the_newest_result_and_skips_broken_files(capsys, tmp_path):
    record = {"slug": "gui_g2", "passed": True, "seeds": 8, "seconds": 3.0, "measured": {"x": 1}}
    (tmp_path / "a").mkdir()
    for folder, date, passed in (("a", "2020-01-02", False), (".", "2020-01-01", True)):
        content = {**record, "date": date, "passed": passed}
        (tmp_path / folder / "study-gui_g2.json").write_text(json.dumps(content))
    (tmp_path / "study-other.json").write_text("{")
    (tmp_path / "study-list.json").write_text("[]")
    assert call("list", "--json", "--results", tmp_path) == 0
    system = json.loads(capsys.readouterr().out)["systems"]["gui_g2"]
    assert system["status"] == "fails" and system["last"]["date"] == "2020-01-02"
    assert system["last"]["measured"] == {"x": 1}
    assert call("list", "--results", tmp_path) == 0
    text = capsys.readouterr().out
    assert "gui_g2" in text and "fails" in text and "CartPole-v1" in text and "Pendulum" in text


@pytest.fixture
def toy(monkeypatch):
    """A study called `toy` in the registry."""
    from jaxrl_rewards.studies import registry

    module = type(sys)("toy_study_module")
    module.STUDY = toy_study()
    monkeypatch.setitem(sys.modules, "toy_study_module", module)
    monkeypatch.setitem(registry.MODULES, "toy", "toy_study_module")


@pytest.mark.parametrize(("gap", "passed"), [("1.5", True), ("-1.5", False)])
def test_reproduce_a_study_whose_claim_holds_or_fails(toy, capsys, tmp_path, gap, passed):
    out = tmp_path / "toy"
    assert call("reproduce", "toy", "--gap", gap, "--out", out) == 0
    record = json.loads((out / "study-toy.json").read_text())
    assert record["passed"] is passed and record["config"]["gap"] == float(gap)
    assert record["command"] == f"jaxrl-rewards reproduce toy --gap {gap}"
    assert (out / "toy.png").read_bytes()[:4] == b"\x89PNG"
    shown = capsys.readouterr()
    assert ("does NOT hold" in shown.out) is not passed
    assert "control" in shown.out and "study-toy.json" in shown.out


def test_reproduce_refuses_flags_that_a_study_lacks(toy, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "--gaps" in refused(capsys, "reproduce", "toy", "--gaps", "1")
    assert "many" in refused(capsys, "reproduce", "toy", "--seeds", "many")
    assert list(tmp_path.iterdir()) == []
    assert call("reproduce", "toy", "--help") == 0
    assert "--gap" in capsys.readouterr().out
    assert dataclasses.fields(ToyConfig)[1].name == "gap"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two seeds, four updates long."""
    out = tmp_path_factory.mktemp("run") / "cartpole"
    assert call("train", "ppo", "--out", out, "--steps", 128, "--seeds", 2, *SMALL) == 0
    return out


def test_a_run_leaves_its_record(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"config.json", "metrics.jsonl", "checkpoints"} <= names
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [row["update"] for row in rows] == [2, 4]
    stored = json.loads((trained / "config.json").read_text())
    assert stored["config"]["kind"] == "ppo" and stored["config"]["task"]["steps"] == 128


def times(folder) -> dict:
    """When each file was last written; the lock is taken by whoever looks."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: path.stat().st_mtime_ns for path in files}


def test_a_run_is_not_overwritten(trained, capsys):
    before = times(trained)
    message = refused(capsys, "train", "ppo", "--out", trained, "--steps", 128, *SMALL)
    assert str(trained) in message and "--resume" in message.replace("resume=True", "--resume")
    different = refused(
        capsys, "train", "ppo", "--out", trained, "--steps", 128, "--seeds", 2, "--resume",
        "--clip", 0.3, *SMALL,
    )  # fmt: skip
    assert "clip" in different
    assert before == times(trained)
    whole = different.split("to go on with the run that is there: ")[1].strip()
    assert whole.startswith("jaxrl-rewards train ppo ") and whole.endswith("--resume")
    assert call(*shlex.split(whole)[1:]) == 0  # the command that is shown does go on


def test_resume_of_a_finished_run_and_evaluate(trained, capsys, tmp_path, monkeypatch):
    again = ("train", "ppo", "--out", trained, "--steps", 128, "--seeds", 2, "--resume", *SMALL)
    with monkeypatch.context() as patch:
        patch.setattr("jaxrl_rewards.train.loop.compile_chunk", None)  # nothing is left to compute
        assert call(*again) == 0
    capsys.readouterr()
    assert call("evaluate", trained, "--episodes", 3, "--out", tmp_path) == 0
    text = capsys.readouterr().out
    assert "update 4" in text and "3 episodes x 2 seeds" in text
    record = json.loads((tmp_path / "evaluation.json").read_text())
    assert record["env"] == "CartPole-v1" and record["update"] == 4
    assert len(record["return_per_seed"]["values"]) == 2
    assert len(record["episode_returns"]["values"]) == 6
    assert min(record["episode_returns"]["values"]) >= 1.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["config"]["task"]["ppo"].update(nmu_envs=3), ("ppo.nmu_envs", "remove")),
        (lambda c: c["config"]["task"].update(lerning_rate=3), ("lerning_rate", "remove")),
        (lambda c: c["config"].pop("task"), ("config.task",)),
        (lambda c: c["config"]["task"].pop("ppo"), ("config.task.ppo",)),
        (lambda c: c["config"].update(kind="sac"), ("sac",)),
        (lambda c: c["config"]["task"]["ppo"].update(num_envs=0), ("num_envs",)),
        (lambda c: c["config"]["task"].update(env="Nowhere"), ("Nowhere",)),
    ],
    ids=["size", "task", "no-task", "no-sizes", "kind", "value", "world"],
)
def test_wrong_keys_in_a_stored_config_are_named(trained, tmp_path, capsys, change, words):
    stored = json.loads((trained / "config.json").read_text())
    change(stored)
    (tmp_path / "config.json").write_text(json.dumps(stored))
    message = refused(capsys, "evaluate", tmp_path)
    for word in words:
        assert word in message
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_evaluate_refuses_options_that_mean_nothing_for_the_run(trained, tmp_path, capsys):
    avatar = tmp_path / "avatar"
    avatar.mkdir()
    (avatar / "config.json").write_text(json.dumps({"config": {"kind": "retarget"}}))
    cases = [
        ((trained, "--data", "x"), ("--data", "a run of `train ppo`", "`train gui`")),
        ((trained, "--motion", "x.bvh"), ("--motion", "`train retarget`")),
        (("gui", "--episodes", 3), ("--episodes", "the pointing policy", "`train ppo`")),
        (("gui", "--which", "best"), ("--which", "the pointing policy")),
        (("gui", "--seed", 0), ("--seed", "the pointing policy")),
        (("gui", "--generated", "turn:1"), ("--generated", "`train retarget`")),
        ((avatar, "--data", "x"), ("--data", "a run of `train retarget`", "`train gui`")),
        ((avatar, "--reward", "x.py:f"), ("--reward", "`train ppo`")),
        ((trained, "--reward", "x.py:f"), ("trained on the world's own reward",)),
    ]
    before = sorted(tmp_path.rglob("*"))
    for arguments, words in cases:
        message = refused(capsys, "evaluate", *arguments)
        assert all(word in message for word in words), (arguments, message)
        assert "leave" in message
    assert sorted(tmp_path.rglob("*")) == before


def test_an_interrupted_run_names_the_whole_command(tmp_path, capsys, monkeypatch):
    """With every option that was given, so that it can be copied."""
    from jaxrl_rewards.commands import train_ppo

    seen = {}
    monkeypatch.setattr(train_ppo, "_train", lambda *given: seen.update(again=given[-1]) or 0)
    assert call("train", "ppo", "--out", tmp_path / "a b", "--reward.alive", 2, "--clip=0.3") == 0
    assert seen["again"] == (
        f"jaxrl-rewards train ppo --out '{tmp_path}/a b' --reward.alive 2 --clip=0.3 --resume"
    )


def test_evaluate_refuses_what_is_no_run_or_no_number(trained, tmp_path, capsys):
    assert "config.json" in refused(capsys, "evaluate", tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert "not valid JSON" in refused(capsys, "evaluate", tmp_path)
    assert "--episodes" in refused(capsys, "evaluate", trained, "--episodes", 0)
    assert "oldest" in refused(capsys, "evaluate", trained, "--which", "oldest")
    assert "99" in refused(capsys, "evaluate", trained, "--which", 99)


def test_pointing_refuses_bad_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "no/such/folder" in refused(capsys, "evaluate", "gui", "--data", "no/such/folder")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(capsys, "evaluate", "gui", "--data", tmp_path / "empty")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.slow
@pytest.mark.distributed
def test_as_a_process(tmp_path, repository):
    """Exit codes and streams, as a shell sees them."""

    def shell(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "jaxrl_rewards.cli", *arguments],
            cwd=tmp_path, capture_output=True, text=True, timeout=300,
            env={**os.environ, "PYTHONPATH": f"{repository}:{repository}/envs"},
        )  # fmt: skip

    done = shell("--help")
    assert done.returncode == 0 and "reproduce" in done.stdout and not done.stderr
    done = shell("train", "ppo", "--env", "Nowhere-v0")
    assert done.returncode == 2 and not done.stdout
    assert len(done.stderr.strip().splitlines()) == 1 and "Nowhere-v0" in done.stderr
    done = shell("list", "--json")
    assert done.returncode == 0 and "gui_g2" in json.loads(done.stdout)["systems"]
