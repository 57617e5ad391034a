"""One process of a run over several devices or processes, for the tests of device invariance.

    python -m tests.distributed.worker --learner toy --output out.npz [--devices 4]
        [--processes 2 --process 0 --port 12345] [--updates 1]

Trains through the runner and writes the final state's floating-point leaves (process 0 only).
"""

import argparse
import os


def computes_in_parts(learner, state, mesh) -> bool:
    """Whether one update of a learner without a batch in its state reduces over devices."""
    import jax

    with jax.set_mesh(mesh):
        program = jax.jit(learner.update).lower(state, learner.hparams).compile()
    return "all-reduce" in program.as_text()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--learner", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--devices", type=int, default=1, help="virtual devices of this process")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--updates", type=int, default=1)
    parser.add_argument("--model", type=int, default=1, help='size of the "model" axis')
    parser.add_argument("--seeds", type=int, default=None)
    parser.add_argument("--out-dir", default=None)
    parser.add_argument("--chunk", type=int, default=1, help="updates per chunk")
    parser.add_argument("--every", type=int, default=None, help="updates between checkpoints")
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()

    # before jax is imported: collectives between devices of one process need a thread each
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={arguments.devices}"
    os.environ["PJRT_NPROC"] = "8"
    os.environ["JAX_PLATFORMS"] = "cpu"

    import jax
    import numpy as np

    from jaxrl_rewards.core import mesh as meshes
    from jaxrl_rewards.train import initialise, load_state, run
    from tests.distributed.learners import build

    if arguments.port:
        initialise(
            f"localhost:{arguments.port}",
            arguments.processes,
            arguments.process,
            timeout_seconds=60,
        )
    elif initialise(timeout_seconds=60):  # by environment variables
        arguments.processes = jax.process_count()
    assert jax.device_count() == arguments.devices * arguments.processes
    mesh = None
    if jax.device_count() > 1:
        mesh = meshes.make_mesh(model=arguments.model)
    learner = build(arguments.learner)
    result = run(
        learner,
        key=jax.random.key(11),
        total_updates=arguments.updates,
        chunk_updates=arguments.chunk,
        checkpoint_every=arguments.every,
        resume=arguments.resume,
        num_seeds=arguments.seeds,
        mesh=mesh,
        out_dir=arguments.out_dir,
        progress=False,
        log=("jsonl",),
    )
    split = [
        path
        for path, leaf in jax.tree_util.tree_leaves_with_path(result.state)
        if not leaf.is_fully_replicated
    ]
    print(f"{len(split)} leaves are split over devices")
    if mesh is not None:
        assert split or computes_in_parts(learner, result.state, mesh), "nothing is spread"
        gather = jax.jit(lambda tree: tree, out_shardings=meshes.replicated(mesh))
        state = gather(result.state)
    else:
        state = result.state
    if jax.process_index() == 0:
        arrays = {
            jax.tree_util.keystr(path): np.asarray(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(state)
            if not jax.numpy.issubdtype(leaf.dtype, jax.dtypes.extended)
        }
        history = {f"history {name}": value for name, value in result.history.items()}
        np.savez(arguments.output, **arrays, **history)
        if arguments.out_dir and arguments.processes == 1:
            load_state(arguments.out_dir, learner, num_seeds=arguments.seeds)
    if arguments.processes > 1:
        jax.distributed.shutdown()


if __name__ == "__main__":
    main()
