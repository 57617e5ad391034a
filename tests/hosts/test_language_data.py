"""Rows of the data sets that people bring."""

import json
import sys

import pytest
from jaxrl_envs.language.data import Question, read_questions

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.rewards.text import AnswerReward

GSM8K = {
    "question": "Natalia sold 48 clips in April and half as many in May. How many in all?",
    "answer": "In May she sold 48/2 = <<48/2=24>>24.\nIn all 48+24 = 72.\n#### 72",
}
MATH = {
    "problem": "What is $1/2 + 1/4$?",
    "solution": "We get $\\frac{2}{4}+\\frac{1}{4}=\\boxed{\\frac{3}{4}}$.",
    "level": "Level 1",
    "type": "Algebra",
}
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
VERL = {
    "data_source": "openai/gsm8k",
    "prompt": CHAT,
    "ability": "math",
    "reward_model": {"style": "rule", "ground_truth": "4"},
    "extra_info": {"split": "train", "index": 0},
}
ROWS = {
    "gsm8k": (GSM8K, "72"),
    "math": (MATH, "\\frac{3}{4}"),
    "verl": (VERL, "4"),
    "eurus": (
        VERL | {"data_source": "numina_amc_aime", "reward_model": {"ground_truth": "\\boxed{4}"}},
        "4",
    ),
    "trl text": ({"prompt": "2 + 2?", "solution": "$$4$$"}, "$$4$$"),
    "trl chat": ({"prompt": CHAT, "ground_truth": 4}, "4"),
    "trl pairs": (
        {"prompt": CHAT, "completion": [{"role": "assistant", "content": "#### 4"}]},
        "4",
    ),
    "messages": ({"messages": [*CHAT, {"role": "assistant", "content": "\\boxed{4}"}]}, "4"),
    "several": ({"question": "2 + 2?", "answer": ["4", "four"]}, "4"),
}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ROWS)
def test_rows(tmp_path, name):
    row, answer = ROWS[name]
    (question,) = read_questions(write(tmp_path / "rows.jsonl", [row]))
    assert question.answer == answer
    assert question.messages[-1]["role"] == "user"
    assert question.columns == row
    assert AnswerReward()(f"so \\boxed{{{answer}}}", question.row).total == 1.0


def test_what_a_question_holds(tmp_path):
    gsm8k, math, verl = read_questions(write(tmp_path / "rows.jsonl", [GSM8K, MATH, VERL]))
    assert gsm8k.text == GSM8K["question"] and gsm8k.solution == GSM8K["answer"]
    assert math.solution == MATH["solution"] and math.source == ""
    assert verl == Question(tuple(CHAT), "4", "", "openai/gsm8k", VERL)


def test_files_and_folders(tmp_path):
    write(tmp_path / "b.jsonl", [GSM8K])
    (tmp_path / "a.json").write_text(json.dumps({"data": [MATH, VERL]}))
    assert [q.answer for q in read_questions(tmp_path)] == ["\\frac{3}{4}", "4", "72"]
    assert len(read_questions(tmp_path, limit=2)) == 2
    named = write(tmp_path / "c.jsonl", [{"ask": "x?", "gold": "7"}])
    assert read_questions(named, question="ask", answer="gold")[0].answer == "7"
    assert read_questions(named, question="ask", needs_answer=False)[0].answer == ""


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [VERL, VERL | {"reward_model": {"style": "rule", "ground_truth": "5"}}]
    table = pyarrow.Table.from_pylist([row | {"images": [{"bytes": b"\x89"}]} for row in rows])
    path = tmp_path / "train.parquet"
    parquet.write_table(table, path)
    questions = read_questions(path)
    assert [q.answer for q in questions] == ["4", "5"]
    assert "images" not in questions[0].columns
    assert questions[0].messages == tuple(CHAT)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="cannot be read as parquet"):
        read_questions(path)


def test_parquet_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r'pip install "jaxrl-rewards\[llm\]"'):
        read_questions(tmp_path / "train.parquet")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"question": "x", "answer": "1"}\n{"question": "y", "ans', "line 2 is not valid JSON"),
        ("[1]\n", "line 1 must be a JSON object"),
        ('{"text": "x"}\n', "row 1 has no question"),
        ('{"question": "x"}\n', "row 1 has no answer"),
        ('{"prompt": [1], "answer": "1"}\n', "prompt must be text or a list of messages"),
        ('{"prompt": [{"role": "system", "content": "x"}], "answer": "1"}\n', "no message of role"),
        ('{"question": "x", "answer": {"a": 1}}\n', "holds dict, not an answer"),
        ("", "holds no rows"),
        ("\xff\xfe", "line 1 is not"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, content, message):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=message) as told:
        read_questions(path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["missing.jsonl", "rows.csv", "empty"])
def test_files_that_cannot_be_used(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError):
        read_questions(tmp_path / name)
