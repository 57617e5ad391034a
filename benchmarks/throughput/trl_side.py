"""TRL's GRPOTrainer on the same tiny Qwen2 directory, measured on request.

    PYTHON -m benchmarks.throughput.trl_side FOLDER PROMPTS ANSWERS TOKENS STEPS

Runs in an environment of its own (torch, transformers, trl); imports nothing of this library.
Every answer holds completion tokens per second of `step`.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from typing import Any

from benchmarks.throughput.language_settings import PROMPT, LanguageSettings, reward_of
from benchmarks.throughput.process import serve


def digits(completions: list[str], **columns: Any) -> list[float]:
    """The reward."""
    return [reward_of(text) for text in completions]


def measure(folder: str, settings: LanguageSettings) -> dict[str, float]:
    """Train `steps + 1` steps; the first is left out."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    ends: list[float] = []

    class Clock(TrainerCallback):
        """The time at the end of every step."""

        def on_step_end(self, *given: Any, **named: Any) -> None:
            ends.append(time.perf_counter())

    batch = settings.prompts * settings.answers
    config = GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=batch,
        num_generations=settings.answers,
        max_completion_length=settings.tokens,
        generation_kwargs={"min_new_tokens": settings.tokens},
        beta=settings.kl_coefficient,
        learning_rate=settings.learning_rate,
        max_steps=settings.steps + 1,
        gradient_checkpointing=False,
        use_cpu=True,
        bf16=False,
        logging_steps=1000,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    rows = Dataset.from_list([{"prompt": PROMPT}] * (settings.prompts * (settings.steps + 1)))
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder),
        processing_class=AutoTokenizer.from_pretrained(folder),
        reward_funcs=[digits],
        args=config,
        train_dataset=rows,
        callbacks=[Clock()],
    )
    trainer.train()
    seconds = (ends[-1] - ends[0]) / (len(ends) - 1)
    return {"step": settings.completion_tokens / seconds}


def main() -> None:
    """Serve."""
    warnings.filterwarnings("ignore")
    import torch
    import transformers
    import trl

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    folder, settings = sys.argv[1], LanguageSettings.from_arguments(sys.argv[2:])
    versions = {"trl": trl.__version__, "torch": torch.__version__}
    serve(versions, lambda: measure(folder, settings))


if __name__ == "__main__":
    main()
