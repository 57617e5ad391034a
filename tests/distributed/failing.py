"""Two processes of which process 1 meets an error; run by test_two_processes with variables set."""

import sys

import jax.numpy as jnp

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.train.distributed import agree_on_any, is_writer, several_processes


def main() -> int:
    with several_processes() as mesh:
        for turn in range(1_000_000):
            agree_on_any(bool(jnp.zeros(())), mesh)
            if turn == 20 and not is_writer():
                raise InputError("the disk is full")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        print(f"process 1: {error}", file=sys.stderr)
        sys.exit(2)
