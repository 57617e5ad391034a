"""Random and mutated programs by the thousand: read or refused, and finite where read."""

import numpy as np
import pytest

from jaxrl_rewards.reward_design.programs import tape
from jaxrl_rewards.reward_design.programs.expression import ProgramError
from jaxrl_rewards.reward_design.programs.parser import parse_program
from tests.eureka.random_programs import QUANTITIES, any_program, extreme_inputs
from tests.eureka.test_forms import run_population, stack_rows

PROGRAMS, BATCH = 100_000, 512


@pytest.mark.slow
def test_no_program_crashes_hangs_or_gives_what_is_not_finite():
    rng = np.random.default_rng(20_231_019)
    accepted = []
    for _ in range(PROGRAMS):
        text = any_program(rng)
        try:
            accepted.append(parse_program(text, QUANTITIES))
        except ProgramError as error:
            assert 0 <= error.position <= len(text)
    assert 0.2 < len(accepted) / PROGRAMS < 0.7
    tapes = [tape.compile_tape(program, QUANTITIES) for program in accepted]
    for start in range(0, len(tapes), BATCH):
        batch = tapes[start : start + BATCH]
        batch += [tape.empty_tape()] * (BATCH - len(batch))
        found = run_population(tape.stack_tapes(batch), stack_rows(extreme_inputs(rng, 4)))
        assert np.isfinite(found).all() and np.abs(found).max() <= 1e6


@pytest.mark.parametrize(
    "text",
    [
        "(" * 999,
        "-" * 999,
        "a = " + "(" * 498 + ")" * 498,
        "a = " + "exp(" * 249,
        "a = " + "1+" * 498,
        "a = " + "9" * 996,
        "a = 1e" + "9" * 900,
        "a = " + ". " * 400,
        "a=1\n" * 250,
        "\n" * 1000,
        "a = where(" * 90,
        "a" * 1000,
        "a = u[" + "1" * 900 + "]",
        "x" * 10_000_000,
    ],
)
def test_hostile_shapes_are_refused_at_once(text):
    with pytest.raises(ProgramError):
        parse_program(text, QUANTITIES)
