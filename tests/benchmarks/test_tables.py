"""Tables of README and pages: up to date, the same every time, safe with broken files."""

import json

import pytest

from benchmarks import charts, tables

README = "# Title\n\n<!-- table:studies -->\nold\n<!-- /table:studies -->\n\nend\n"
OF_ONE_STUDY = ("study", "claims", "notes")
NAMES = [
    f"{name} gui_g2" if name in OF_ONE_STUDY else name
    for name in tables.TABLES
    if name != "environments"  # made from the registry, see tests/docs
]
ALL = "".join(f"<!-- table:{name} -->\n<!-- /table:{name} -->\n" for name in NAMES)

STUDY = {
    "slug": "gui_g2",
    "passed": True,
    "measured": {"gap": 0.1234, "unasked": 5.0},
    "interval": {"gap": [0.05, 0.2]},
    "required": {"gap": "above 0"},
    "seeds": 8,
    "seconds": 123.4,
    "date": "2026-01-02",
}
SEARCH = {
    "slug": "eureka",
    "seeds": 8,
    "arms": {
        "keydoor: sparse": {"success": {"mean": 0.01, "interval": [0.0, 0.02]}},
        "ball: sparse": {"success": {"mean": 0.1}, "seed_noise": {"mean": 0.04}},
        "ball: random search": {
            "success": {"mean": 0.47, "interval": [0.29, 0.65]},
            "seed_noise": {"mean": 0.14},
        },
    },
}
BENCH = {
    "name": "ppo",
    "rows": [
        {"what": "PPO", "ours": 200000.0, "peer": 160000.0, "peer_name": "rejax", "unit": "steps/s",
         "ratio": 1.25, "required": 1.2, "ratio_best": 1.3},
        {"what": "alone | piped", "ours": 3.0, "peer": None, "peer_name": "none", "unit": "x",
         "ratio": None, "required": None},
    ],
    "command": "python -m benchmarks.throughput.bench_ppo",
    "versions": {"jax": "0.10.2"},
    "hardware": {"device": "a processor", "cores": 2},
    "load": [0.1, 1.0],
    "date": "2026-01-03",
}  # fmt: skip
PARITY = {
    "required": 1e-5,
    "date": "2026-01-04",
    "rows": [{"system": "gui_g2", "cases": 20, "passed": 20, "max_error": 3e-7}],
}
POINTING = {
    "overall": {"accuracy": 0.85, "interval": [0.8, 0.9], "count": 500},
    "unseen": {"accuracy": 0.75, "interval": [0.7, 0.8], "count": 200},
    "controls": {"constant position": {"accuracy": 0.1, "interval": [0.05, 0.15]}},
}
POINTING_SEEDS = {
    "rows": [
        {"what": "click accuracy", "ours": 0.85, "peer": 0.2, "peer_name": "pixels only",
         "unit": "share", "required": 0.8, "interval_over_families": [[0.8, 0.9], [0.78, 0.91]]},
        {"what": "real_median_distance", "ours": 12.0, "peer": 14.0, "unit": "px",
         "peer_name": "binary reward", "required": None, "gaussian_minus_binary": [-3.0, -1.0]},
    ]
}  # fmt: skip


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results" / "cpu-2core"
    folder.mkdir(parents=True)
    for name, value in {
        "study-gui_g2": STUDY,
        "study-eureka": SEARCH,
        "bench-ppo": BENCH,
        "parity-reference": PARITY,
        "gui-pointing": POINTING,
        "gui-pointing-refine": POINTING_SEEDS,
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return tmp_path / "results"


def run(readme, results, *flags):
    return tables.main([*flags, "--files", str(readme), "--results", str(results)])


def test_readme_and_pages_are_up_to_date(repository, capsys):
    assert tables.main(["--check"]) == 0, capsys.readouterr().out
    assert len(tables.documents()) > 5


def test_a_missing_file_is_named(tmp_path, results, capsys):
    assert run(tmp_path / "none.md", results) == 2
    assert "none.md does not exist" in capsys.readouterr().err


def test_tables_hold_the_figures_of_the_files(results):
    text, changed = tables.fill(ALL, results)
    assert changed == NAMES
    for part in (
        "| [`gui_g2`](docs/pages/studies/gui_g2.md) |  | yes |  | 8 | 2.1 | cpu-2core, 2026-01",
        "| gap | 0.123 | [0.05, 0.2] | above 0 |",
        "**The claim holds.**",
        "| PPO | 200,000 steps/s | rejax | 160,000 | 1.25 (best 1.3) | 1.2 |",
        "| alone \\| piped | 3 x |  |  |  |  |",
        "| `gui_g2` | 20 of 20 | 3.0e-07 | 1.0e-05 | cpu-2core, 2026-01-04 |",
        "| trained, unseen in training | 0.750 | [0.7, 0.8] |",
        "| control: constant position | 0.100 | [0.05, 0.15] |",
        "| click accuracy | 0.85 | [0.78, 0.91] | pixels only | 0.2 |  | 0.8 |",
        "| real median distance | 12 px |  | binary reward | 14 | [-3, -1] |  |",
    ):
        assert part in text
    assert "unasked" not in text and "other programs" not in text


def test_a_second_key_stands_beside_the_first(results):
    path = results / "cpu-2core" / "study-gui_g2.json"
    second = {"passed": False, "measured": {"gap": 0.04}, "interval": {"gap": [-0.01, 0.09]}}
    path.write_text(json.dumps(STUDY | {"second_key": second}))
    text = tables.studies(results)
    assert "| 95 % interval | on a second random key | required |" in text
    assert "**The claim holds; on a second random key it does not hold.**" in text
    assert "| gap | 0.123 | [0.05, 0.2] | 0.04 [-0.01, 0.09] | above 0 |" in text
    assert "|  | yes | **no** | 8 |" in tables.overview(results)
    path.write_text(json.dumps(STUDY | {"verdict": "too few seeds to judge", "passed": False}))
    assert "cannot be judged: too few seeds to judge" in tables.study(results, "gui_g2")
    assert "| too few seeds to judge |" in tables.overview(results)


def test_benchmarks_can_be_named(results):
    assert "PPO" in tables.benchmarks(results, "ppo")
    assert "Not measured" in tables.benchmarks(results, "physics")


def test_every_task_of_a_search_has_its_column(results):
    lines = tables.searches(results).splitlines()
    assert lines[0] == (
        "| reward | keydoor: success rate, standard deviation "
        "| ball: success rate, standard deviation |"
    )
    assert lines[2] == "| sparse | 0.01 [0, 0.02] | 0.1, 0.04 |"
    assert lines[3] == "| random search |  | 0.47 [0.29, 0.65], 0.14 |"


def test_generation_is_deterministic_and_idempotent(results):
    once, _ = tables.fill(ALL, results)
    assert tables.fill(ALL, results)[0] == once
    assert tables.fill(once, results) == (once, [])


def test_check_tells_and_changes_nothing(tmp_path, results):
    readme = tmp_path / "README.md"
    readme.write_text(README)
    assert run(readme, results, "--check") == 1
    assert readme.read_text() == README
    assert run(readme, results) == 0
    assert run(readme, results, "--check") == 0
    assert readme.read_text().startswith("# Title\n") and readme.read_text().endswith("\nend\n")


def test_a_changed_figure_makes_the_readme_stale(tmp_path, results):
    readme = tmp_path / "README.md"
    readme.write_text(README)
    run(readme, results)
    (results / "cpu-2core" / "study-gui_g2.json").write_text(json.dumps({**STUDY, "seeds": 9}))
    assert run(readme, results, "--check") == 1


def test_missing_files_give_a_line_that_says_what_to_run(tmp_path):
    text, _ = tables.fill(ALL, tmp_path / "nowhere")
    assert text.count("Not measured yet") == len(NAMES) - 1  # claims are known beforehand
    assert "It takes some time" in text


def test_sparse_records_are_tolerated(results):
    folder = results / "cpu-2core"
    for path in folder.glob("*.json"):
        path.write_text("{}")
    text, _ = tables.fill(ALL, results)
    assert "study-gui_g2.json" in text


def test_a_failed_claim_is_shown_as_such(results):
    path = results / "cpu-2core" / "study-gui_g2.json"
    path.write_text(json.dumps({**STUDY, "passed": False}))
    assert "**The claim does not hold.**" in tables.studies(results)
    assert "| **no** |" in tables.overview(results)


def test_disturbed_timings_are_marked(results):
    path = results / "cpu-2core" / "bench-ppo.json"
    path.write_text(json.dumps({**BENCH, "load": [0.1, 7.5]}))
    assert "**other programs ran** (load up to 7.5 on 2 cores)" in tables.benchmarks(results)


@pytest.mark.parametrize("content", ["{", "[1, 2]", "\x00"])
def test_a_broken_file_is_named_and_the_readme_stays(tmp_path, results, content, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(README)
    (results / "cpu-2core" / "study-gui_g2.json").write_text(content)
    assert run(readme, results) == 2
    assert "study-gui_g2.json" in capsys.readouterr().err
    assert readme.read_text() == README


@pytest.mark.parametrize(
    "text",
    [
        "<!-- table:studies -->",
        "<!-- /table:studies -->",
        "<!-- table:studies -->\n<!-- /table:benchmarks -->",
        "<!-- table:studies -->\n<!-- table:studies -->\n<!-- /table:studies -->",
        "<!-- table:unknown -->\n<!-- /table:unknown -->",
    ],
)
def test_bad_markers_change_nothing(tmp_path, results, text, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    assert run(readme, results) == 2
    assert readme.read_text() == text
    assert "table:" in capsys.readouterr().err or "unknown" in text


def test_writing_is_atomic(tmp_path, results, monkeypatch, capsys):
    import os

    readme = tmp_path / "README.md"
    readme.write_text(README)

    def broken(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", broken)
    assert run(readme, results) == 2
    assert "no space left" in capsys.readouterr().err
    assert readme.read_text() == README
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0, "0"), (1234567.8, "1,234,568"), (0.12345, "0.123"), (2e-6, "2.0e-06"),
     (True, "True"), ([1, 2.5], "1, 2.5"), (-1234.5, "-1,234"), (999.96, "1,000")],
)  # fmt: skip
def test_numbers(value, text):
    assert tables.number(value) == text


def test_charts_are_small_and_the_same_every_time(results):
    first, second = (charts.chart(BENCH, "cpu-2core") for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG") and len(first) <= charts.LIMIT_BYTES
    assert charts.chart({"rows": BENCH["rows"][1:]}, "cpu-2core") is None
    assert charts.main(["--results", str(results)]) == 0
    assert (results / "images" / "bench-ppo.png").read_bytes() == first
