"""Tiny random checkpoints of each family, with the logits that transformers gives them.

Run where torch, transformers and tokenizers are installed (never in the project's environment):

    python tests/networks/make_fixtures.py            # writes tests/networks/data/hugging_face
    python tests/networks/make_fixtures.py compare A B   # two directories' logits
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2ForSequenceClassification,
    Qwen3Config,
    Qwen3ForCausalLM,
)

FOLDER = Path(__file__).parent / "data" / "hugging_face"
SIZES = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 24, "vocab_size": 300, "max_position_embeddings": 64,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
        "original_max_position_embeddings": 16}  # fmt: skip
LINEAR = {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0}
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def models_by_name():
    yield "llama", LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=LLAMA3))
    biased = LlamaConfig(
        **{**SIZES, "num_key_value_heads": 4}, attention_bias=True, rope_parameters=LINEAR
    )
    yield "llama_biased", LlamaForCausalLM(biased)
    yield "qwen2", Qwen2ForCausalLM(Qwen2Config(**SIZES, tie_word_embeddings=True))
    yield "qwen2_5_yarn", Qwen2ForCausalLM(Qwen2Config(**SIZES, rope_parameters=YARN))
    qwen3 = Qwen3Config(**SIZES, head_dim=8, tie_word_embeddings=True)
    yield "qwen3", Qwen3ForCausalLM(qwen3)
    reward = Qwen2Config(**SIZES, num_labels=1, pad_token_id=0)
    yield "reward", Qwen2ForSequenceClassification(reward)


def tokenizer():
    """Byte-level BPE with a few merges and two special tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZES["vocab_size"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|im_start|>", "<|im_end|>"],
        show_progress=False,
    )
    made.train_from_iterator(
        ["the answer is 12", "the sum of 3 and 4 is 7", "question"] * 3, trainer
    )
    return made


def write(name, model):
    for parameter in model.parameters():  # so that biases and norms are no 0 and 1
        parameter.data.add_(0.2 * torch.randn(parameter.shape))
    folder = FOLDER / name
    # one of them in shards
    model.save_pretrained(folder, max_shard_size="30KB" if name == "llama" else "1GB")
    tokens = torch.randint(0, SIZES["vocab_size"], (2, 40))
    with torch.no_grad():
        logits = model.eval()(tokens).logits.numpy()
    if name != "reward":
        logits = logits[:, ::8]  # every eighth position: small files
    np.savez_compressed(folder / "expected.npz", tokens=tokens.numpy(), logits=logits)


def write_text_files(folder):
    tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": CHAT, "eos_token": "<|im_end|>", "bos_token": None})
    )
    (folder / "generation_config.json").write_text(
        json.dumps({"do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20,
                    "repetition_penalty": 1.05, "eos_token_id": [1, 0]})
    )  # fmt: skip


def compare(one, other):
    tokens = torch.arange(80).reshape(2, 40)
    with torch.no_grad():
        first, second = (
            AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)(tokens).logits
            for path in (one, other)
        )
    print("largest difference of logits", float((first - second).abs().max()))


def main():
    if sys.argv[1:2] == ["compare"]:
        compare(*sys.argv[2:])
        return
    torch.manual_seed(0)
    for name, model in models_by_name():
        write(name, model)
    write_text_files(FOLDER / "qwen2")


if __name__ == "__main__":
    main()
