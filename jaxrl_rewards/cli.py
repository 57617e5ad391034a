"""The command line: `jaxrl-rewards COMMAND`, with the commands of `VERBS`."""

from __future__ import annotations

import contextlib
import errno
import importlib
import sys
from collections.abc import Sequence

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.extras import missing_package
from jaxrl_rewards.core.files import shown_path
from jaxrl_rewards.core.output import steady_output
from jaxrl_rewards.train.compilation import configure_cpu

VERBS: dict[str, tuple[str, str]] = {
    "list": ("list", "the studies with what each last measured, and the environments"),
    "reproduce": (
        "reproduce",
        "run a study: a paper's claim at laptop size, with table, figure and verdict",
    ),
    "train": ("train", "train a policy (ppo, gui, retarget), or search a reward (eureka)"),
    "evaluate": ("evaluate", "evaluate a checkpoint on held-out or your own input"),
    "drive": ("drive", "drive an avatar with headset and controllers, as JSON lines"),
    "design": (
        "design",
        "design a reward in few states for a tabular model, with the same best policy",
    ),
    "bench": ("bench", "measure throughput, beside other libraries where they are installed"),
}

OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM,
                  errno.ENAMETOOLONG, errno.EIO, errno.EMFILE, errno.ENFILE)  # fmt: skip
"""What the operating system refuses, whatever a program does: told in one sentence."""

USAGE = """usage: jaxrl-rewards COMMAND [ARGUMENTS]

Reward design in JAX: environments, rewards, credit and learners as pure functions.

commands:
{verbs}
examples:
  jaxrl-rewards list
  jaxrl-rewards reproduce gui_g2 --out runs/gui_g2
  jaxrl-rewards train ppo --env CartPole-v1 --out runs/cartpole
  jaxrl-rewards evaluate runs/cartpole
  jaxrl-rewards evaluate gui --data FOLDER_IN_SCREENSPOT_FORMAT
  jaxrl-rewards train retarget --env.character dinosaur --env.data MOTIONS

`jaxrl-rewards COMMAND --help` shows a command's arguments."""


def usage() -> str:
    """The text of `jaxrl-rewards --help`."""
    return USAGE.format(verbs="".join(f"  {verb:<11}{text}\n" for verb, (_, text) in VERBS.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0: done; 2: bad input (one sentence on stderr); 128 + n: ended by signal n after saving.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    verb, rest = arguments[0], arguments[1:]
    if verb in ("--version", "version"):
        import jaxrl_rewards

        print(f"jaxrl-rewards {jaxrl_rewards.__version__}")
        return 0
    if verb not in VERBS:
        print(
            f"jaxrl-rewards: there is no command {verb!r}; choose {', '.join(VERBS)}",
            file=sys.stderr,
        )
        return 2
    configure_cpu()
    # `drive` answers line by line: it ends with whoever listens. Other work outlives its output.
    with contextlib.nullcontext() if verb == "drive" else steady_output():
        return _run(verb, rest)


def _run(verb: str, arguments: Sequence[str]) -> int:
    module = importlib.import_module(f"jaxrl_rewards.commands.{VERBS[verb][0]}")
    try:
        return int(module.main(arguments) or 0)
    except InputError as error:
        print(f"jaxrl-rewards {verb}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        message = missing_package(error, f"this {verb}")
        if message is None:
            raise
        print(f"jaxrl-rewards {verb}: {message}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        print(f"jaxrl-rewards {verb}: interrupted; what was saved stays", file=sys.stderr)
        return 130
    except OSError as error:
        if error.errno not in OF_THE_MACHINE:
            raise
        where = f"{shown_path(str(error.filename))}: " if error.filename else ""
        print(f"jaxrl-rewards {verb}: {where}{error.strerror}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
