"""Searching reward programs: proposals, trainings, scores, and what is said of them."""

from typing import TYPE_CHECKING

from jaxrl_rewards.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxrl_rewards.reward_design.eureka.answers import (
        cut_answer,
        extract_reward_code,
        filter_traceback,
        find_block,
        find_program,
        function_signature,
        read_part,
    )
    from jaxrl_rewards.reward_design.eureka.candidates import Candidate, Proposal, finish
    from jaxrl_rewards.reward_design.eureka.chat import ChatProposer, read_answer
    from jaxrl_rewards.reward_design.eureka.feedback import (
        Preference,
        apply_preferences,
        ask_in_terminal,
        pairs_to_ask,
        read_preferences,
    )
    from jaxrl_rewards.reward_design.eureka.kept_trainings import KeptTrainings
    from jaxrl_rewards.reward_design.eureka.lockstep import (
        Bench,
        Found,
        Sizes,
        choose_winners,
        keys_for,
        plain_generation,
        racing_generation,
        search_in_lockstep,
        train_fixed,
    )
    from jaxrl_rewards.reward_design.eureka.offline import (
        EvolutionProposer,
        RandomProposer,
        distinct,
        random_slot,
        slot_proposal,
    )
    from jaxrl_rewards.reward_design.eureka.prompts import (
        failure_list,
        messages,
        quantity_list,
        review,
    )
    from jaxrl_rewards.reward_design.eureka.proposers import Context, Proposer
    from jaxrl_rewards.reward_design.eureka.recording import RecordingProposer, ReplayProposer
    from jaxrl_rewards.reward_design.eureka.scores import (
        Reflection,
        Selection,
        human_normalized_score,
        reward_reflection,
        select_candidate,
    )
    from jaxrl_rewards.reward_design.eureka.search import (
        Search,
        SearchConfig,
        ask,
        compile_candidates,
        logs_of,
        reflection_of,
        run_search,
        train_candidates,
    )
    from jaxrl_rewards.reward_design.eureka.trainer import CandidateTrainer, Runs, repeat_programs
    from jaxrl_rewards.reward_design.eureka.workers import CandidateWorkers

__all__ = [
    "Bench",
    "Candidate",
    "CandidateTrainer",
    "CandidateWorkers",
    "ChatProposer",
    "Context",
    "EvolutionProposer",
    "Found",
    "KeptTrainings",
    "Preference",
    "Proposal",
    "Proposer",
    "RandomProposer",
    "RecordingProposer",
    "Reflection",
    "ReplayProposer",
    "Runs",
    "Search",
    "SearchConfig",
    "Selection",
    "Sizes",
    "apply_preferences",
    "ask",
    "ask_in_terminal",
    "choose_winners",
    "compile_candidates",
    "cut_answer",
    "distinct",
    "extract_reward_code",
    "failure_list",
    "filter_traceback",
    "find_block",
    "find_program",
    "finish",
    "function_signature",
    "human_normalized_score",
    "keys_for",
    "logs_of",
    "messages",
    "pairs_to_ask",
    "plain_generation",
    "quantity_list",
    "racing_generation",
    "random_slot",
    "read_answer",
    "read_part",
    "read_preferences",
    "reflection_of",
    "repeat_programs",
    "review",
    "reward_reflection",
    "run_search",
    "search_in_lockstep",
    "select_candidate",
    "slot_proposal",
    "train_candidates",
    "train_fixed",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "answers": (
                "cut_answer",
                "extract_reward_code",
                "filter_traceback",
                "find_block",
                "find_program",
                "function_signature",
                "read_part",
            ),
            "candidates": ("Candidate", "Proposal", "finish"),
            "chat": ("ChatProposer", "read_answer"),
            "feedback": (
                "Preference",
                "apply_preferences",
                "ask_in_terminal",
                "pairs_to_ask",
                "read_preferences",
            ),
            "kept_trainings": ("KeptTrainings",),
            "lockstep": (
                "Bench",
                "Found",
                "Sizes",
                "choose_winners",
                "keys_for",
                "plain_generation",
                "racing_generation",
                "search_in_lockstep",
                "train_fixed",
            ),
            "offline": (
                "EvolutionProposer",
                "RandomProposer",
                "distinct",
                "random_slot",
                "slot_proposal",
            ),
            "prompts": ("failure_list", "messages", "quantity_list", "review"),
            "proposers": ("Context", "Proposer"),
            "recording": ("RecordingProposer", "ReplayProposer"),
            "scores": (
                "Reflection",
                "Selection",
                "human_normalized_score",
                "reward_reflection",
                "select_candidate",
            ),
            "search": (
                "Search",
                "SearchConfig",
                "ask",
                "compile_candidates",
                "logs_of",
                "reflection_of",
                "run_search",
                "train_candidates",
            ),
            "trainer": ("CandidateTrainer", "Runs", "repeat_programs"),
            "workers": ("CandidateWorkers",),
        },
    )
