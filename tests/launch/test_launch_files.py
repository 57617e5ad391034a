"""The files of docs/launch/ can be parsed, have the fields of their formats, and real options."""

import ast
import re
import shlex
import shutil
import subprocess

import pytest
import yaml

from jaxrl_rewards.commands.train_ppo import PPOTask
from jaxrl_rewards.train.arguments import parse
from jaxrl_rewards.train.place import ADDRESS, COUNT, INDEX, Place, find_place

COMMAND = ["jaxrl-rewards", "train", "ppo"]


@pytest.fixture(scope="module")
def folder(repository):
    return repository / "docs" / "launch"


def read_yaml(file):
    documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    assert len(documents) == 1
    return documents[0]


def check_command(words):
    """The command is ours and its options are understood; every relaunch goes on."""
    assert words[:3] == COMMAND
    task = parse(PPOTask, words[3:], prog=" ".join(COMMAND), description="")
    assert task.resume and task.out is not None and task.out.is_absolute()
    return task


def test_every_file_is_tested(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("README.md", "slurm.sbatch", "jobset.yaml", "trainjob.yaml", "ray_jax_trainer.py")
    }
    text = (folder / "README.md").read_text(encoding="utf-8")
    for name in names - {"README.md"}:
        assert f"`{name}`" in text


def test_slurm(folder):
    file = folder / "slurm.sbatch"
    if shutil.which("bash") is not None:
        check = subprocess.run(["bash", "-n", str(file)], capture_output=True, text=True)
        assert check.returncode == 0 and not check.stderr, check.stderr
    text = file.read_text(encoding="utf-8")
    assert text.startswith("#!/bin/bash\n")
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(.*)$", text, re.MULTILINE))
    assert {"nodes", "ntasks-per-node", "gpus-per-task", "time", "signal"} <= options.keys()
    assert text.rindex("#SBATCH") < text.index("set -euo")  # options after a command are not read
    joined = text.replace("\\\n", " ")
    line = next(line for line in joined.splitlines() if line.startswith("srun "))
    words = shlex.split(line.partition("||")[0].replace("$OUT", "/shared/out"))
    check_command(words[words.index(COMMAND[0]) :])


def test_jobset(folder):
    job = read_yaml(folder / "jobset.yaml")
    assert (job["apiVersion"], job["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert job["spec"]["failurePolicy"]["maxRestarts"] > 0
    (workers,) = job["spec"]["replicatedJobs"]
    spec = workers["template"]["spec"]
    assert spec["completionMode"] == "Indexed" and workers["replicas"] == 1
    assert spec["parallelism"] == spec["completions"] > 1
    assert spec["backoffLimit"] == 0
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    task = check_command(container["command"])
    variables = {entry["name"]: entry for entry in container["env"]}
    name = job["metadata"]["name"]
    port = container["ports"][0]["containerPort"]
    first = f"{name}-{workers['name']}-0-0.{name}:{port}"
    assert variables[ADDRESS]["value"] == first
    assert variables[COUNT[0]]["value"] == str(spec["completions"])
    path = variables[INDEX[0]]["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    values = {key: str(entry.get("value", "1")) for key, entry in variables.items()}
    assert find_place(values) == Place(first, spec["completions"], 1)
    check_volume(pod, container, task.out)


def test_trainjob(folder):
    job = read_yaml(folder / "trainjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    assert job["spec"]["runtimeRef"] == {
        "apiGroup": "trainer.kubeflow.org",
        "kind": "ClusterTrainingRuntime",
        "name": "jax-distributed",
    }
    trainer = job["spec"]["trainer"]
    assert trainer["numNodes"] > 1 and trainer["image"]
    task = check_command(trainer["command"] + trainer["args"])
    own = {entry["name"] for entry in trainer["env"]}
    assert not own & {ADDRESS, *COUNT, *INDEX}  # the runtime sets them
    (patch,) = job["spec"]["runtimePatches"]
    assert patch["manager"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert node["name"] == "node"
    pod = node["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["name"] == "node"
    check_volume(pod, container, task.out)


def check_volume(pod, container, out):
    """The run's folder lies on a claimed volume."""
    (mount,) = container["volumeMounts"]
    (volume,) = pod["volumes"]
    assert mount["name"] == volume["name"]
    assert volume["persistentVolumeClaim"]["claimName"]
    assert out.is_relative_to(mount["mountPath"])


def test_ray(folder):
    tree = ast.parse((folder / "ray_jax_trainer.py").read_text(encoding="utf-8"))
    imported = {
        (node.module, name.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert ("ray.train.v2.jax", "JaxTrainer") in imported
    assert ("jaxrl_rewards.cli", "main") in imported
    calls = {
        node.func.id: {word.arg for word in node.keywords}
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert {"train_loop_config", "scaling_config", "run_config"} <= calls["JaxTrainer"]
    assert {"num_workers", "use_gpu"} <= calls["ScalingConfig"]
    lists = [
        [getattr(element, "value", None) for element in node.elts]
        for node in ast.walk(tree)
        if isinstance(node, ast.List)
    ]
    assert any(found[:2] == ["train", "ppo"] for found in lists)
    assert any({"--resume", "--out"} <= set(map(str, found)) for found in lists)
