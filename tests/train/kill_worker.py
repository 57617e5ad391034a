"""A training run of its own process, to be killed. Arguments: name, folder, updates, chunk."""

import sys

import jax
import numpy as np

from jaxrl_rewards.train import run


def build(name):
    if name == "toy":
        from tests.train.toys import make_slow_regression

        return make_slow_regression(seconds=0.01)
    from tests.train.real_learners import make_learner

    return make_learner(name)


def main(name, folder, updates, chunk, every, output):
    result = run(
        build(name),
        key=jax.random.key(7),
        total_updates=int(updates),
        chunk_updates=int(chunk),
        checkpoint_every=int(every),
        out_dir=folder,
        resume=True,
        config={"learner": name},
        progress=True,
        log=("jsonl",),
    )
    leaves = jax.tree.leaves(result.state)
    arrays = [
        jax.random.key_data(leaf) if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        for leaf in leaves
    ]
    np.savez(output, *[np.asarray(array) for array in arrays])


if __name__ == "__main__":
    main(*sys.argv[1:])
