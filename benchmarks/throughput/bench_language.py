"""A GRPO step on a tiny language model: against the sum of its parts, and against TRL.

    python -m benchmarks.throughput.bench_language [--trl PYTHON] [--repetitions 5] [--out FILE]

`--trl` is the Python of an environment with torch, transformers, trl and datasets; without it TRL
is left out. Both sides load the same checkpoint, run on one thread, and take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    _root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(_root), str(_root / "envs")]

from benchmarks import report
from benchmarks.throughput.language_settings import CHARACTERS, LanguageSettings
from benchmarks.throughput.process import Worker, alternate

SHAPES = {"32 x 8 x 32": (32, 8, 32, 2.0), "4 x 4 x 32": (4, 4, 32, 3.0)}
"""Prompts, answers, tokens, and the ratio to TRL that is asked for."""
SHARE = 0.8
"""Of the speed that the parts alone would allow."""
PARTS = ("generate", "score", "reference", "learn")
NOTES = (
    "Completion tokens per second of whole GRPO steps (generation, reward in Python, reference "
    "pass, one gradient step) on a Qwen2 of 2 layers and width 64, one thread each, processes "
    "alternating; medians. Prompts have 16 tokens, nothing stops an answer early.",
    "The sum of the parts: each part compiled and timed alone, their seconds added up.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trl", help="python of an environment with trl")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="steps per repetition")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    given = sys.argv[1:] if arguments is None else list(arguments)
    began, loads, rows = time.perf_counter(), [report.load()], []
    with tempfile.TemporaryDirectory() as folder:
        model = write_model(Path(folder) / "model")
        for shape in options.shapes:
            rows += measured(shape, model, options)
            loads.append(report.load())
    report.print_rows(rows)
    shown = ["PYTHON" if value == options.trl else value for value in given]
    path = report.write_benchmark(
        options.out or report.results_folder() / "bench-language.json",
        "language",
        rows,
        command=report.command_line("benchmarks.throughput.bench_language", shown),
        seconds=time.perf_counter() - began,
        load=loads,
        settings={**vars(LanguageSettings()), "steps": options.steps, "threads": 1},
        notes=NOTES,
    )
    print(path)
    return 0


def measured(shape: str, model: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of one shape."""
    *sizes, asked = SHAPES[shape]
    flags = [str(model), *map(str, sizes), str(options.steps)]
    sides = {"ours": lambda: Worker("benchmarks.throughput.language_side", flags)}
    if options.trl:
        sides["trl"] = lambda: Worker("benchmarks.throughput.trl_side", flags, python=options.trl)
    ready, answers, failed = alternate(sides, options.repetitions, report=_say)
    if "ours" in failed:
        raise SystemExit(f"our side could not be measured: {failed['ours']}")
    rates = {
        name: statistics.median(answer[name] for answer in answers["ours"])
        for name in ("step", *PARTS)
    }
    summed = 1.0 / sum(1.0 / rates[name] for name in PARTS)
    what = f"GRPO step, {shape} (prompts x answers x tokens)"
    rows = [
        report.row(
            what, rates["step"], summed, "sum of its parts", "tokens/s", required=SHARE,
            compile_seconds=ready["ours"]["compile_seconds"],
            parts={name: round(rates[name]) for name in PARTS},
        )
    ]  # fmt: skip
    if "trl" in answers:
        theirs = statistics.median(answer["step"] for answer in answers["trl"])
        rows.append(
            report.row(
                what, rates["step"], theirs, "TRL", "tokens/s", required=asked, **ready["trl"]
            )
        )
    return rows


def write_model(folder: Path) -> Path:
    """A tiny Qwen2 with random weights and a tokenizer of single characters."""
    import jax

    from jaxrl_rewards.networks.decoder import DecoderConfig, init_decoder
    from jaxrl_rewards.networks.hugging_face import save_model

    sizes = LanguageSettings()
    config = DecoderConfig(
        vocabulary=len(CHARACTERS) + 2,
        width=sizes.width,
        layers=sizes.layers,
        heads=sizes.heads,
        kv_heads=sizes.kv_heads,
        hidden=sizes.hidden,
        max_length=512,
        qkv_bias=True,
    )
    save_model(folder, config, init_decoder(jax.random.key(0), config))
    words = {"<pad>": 0, "<end>": 1, **{c: i + 2 for i, c in enumerate(CHARACTERS)}}
    special = [
        {"id": words[word], "content": word, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False, "special": True}
        for word in ("<pad>", "<end>")
    ]  # fmt: skip
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
        "normalizer": None, "post_processor": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": ""}, "behavior": "Isolated",
                          "invert": False},
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "<pad>"},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>",
                "eos_token": "<end>"}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
