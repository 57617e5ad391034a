"""Reward programs: a small typed language over a world's named quantities, compiled to JAX."""

from typing import TYPE_CHECKING

from jaxrl_rewards.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxrl_rewards.reward_design.programs.direct import (
        clip_total,
        eval_reward_expression,
        evaluate_expression,
        evaluate_program,
    )
    from jaxrl_rewards.reward_design.programs.expression import (
        Expression,
        Program,
        ProgramError,
        print_expression,
        print_program,
    )
    from jaxrl_rewards.reward_design.programs.operations import (
        divide,
        exponential,
        log_one_plus,
        protect,
        reduce_lanes,
        square_root,
    )
    from jaxrl_rewards.reward_design.programs.parser import (
        Token,
        parse_expression,
        parse_program,
        tokenize,
    )
    from jaxrl_rewards.reward_design.programs.quantities import (
        StateQuantities,
        check_name,
        check_quantities,
        lanes,
        require_known,
        size_of,
        sizes_of,
        stack_values,
        state_quantities,
    )
    from jaxrl_rewards.reward_design.programs.reward import ProgramReward
    from jaxrl_rewards.reward_design.programs.slots import (
        Slot,
        Slots,
        compile_slots,
        program_of,
        run_slots,
        slots_of,
    )
    from jaxrl_rewards.reward_design.programs.tape import (
        Tape,
        compile_tape,
        empty_tape,
        run_tape,
        stack_tapes,
    )
    from jaxrl_rewards.reward_design.programs.terms import ProgramCut, ProgramTerm, program_terms

__all__ = [
    "Expression",
    "Program",
    "ProgramCut",
    "ProgramError",
    "ProgramReward",
    "ProgramTerm",
    "Slot",
    "Slots",
    "StateQuantities",
    "Tape",
    "Token",
    "check_name",
    "check_quantities",
    "clip_total",
    "compile_slots",
    "compile_tape",
    "divide",
    "empty_tape",
    "eval_reward_expression",
    "evaluate_expression",
    "evaluate_program",
    "exponential",
    "lanes",
    "log_one_plus",
    "parse_expression",
    "parse_program",
    "print_expression",
    "print_program",
    "program_of",
    "program_terms",
    "protect",
    "reduce_lanes",
    "require_known",
    "run_slots",
    "run_tape",
    "size_of",
    "sizes_of",
    "slots_of",
    "square_root",
    "stack_tapes",
    "stack_values",
    "state_quantities",
    "tokenize",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "direct": (
                "clip_total",
                "eval_reward_expression",
                "evaluate_expression",
                "evaluate_program",
            ),
            "expression": (
                "Expression",
                "Program",
                "ProgramError",
                "print_expression",
                "print_program",
            ),
            "operations": (
                "divide",
                "exponential",
                "log_one_plus",
                "protect",
                "reduce_lanes",
                "square_root",
            ),
            "parser": ("Token", "parse_expression", "parse_program", "tokenize"),
            "quantities": (
                "StateQuantities",
                "check_name",
                "check_quantities",
                "lanes",
                "require_known",
                "size_of",
                "sizes_of",
                "stack_values",
                "state_quantities",
            ),
            "reward": ("ProgramReward",),
            "slots": ("Slot", "Slots", "compile_slots", "program_of", "run_slots", "slots_of"),
            "tape": ("Tape", "compile_tape", "empty_tape", "run_tape", "stack_tapes"),
            "terms": ("ProgramCut", "ProgramTerm", "program_terms"),
        },
    )
