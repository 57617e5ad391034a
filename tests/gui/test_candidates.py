"""Candidates on a read screen: where an instruction's text may stand, and what a policy sees."""

import numpy as np
import pytest
from jaxrl_envs.gui.candidate_features import FEATURES, NAMES
from jaxrl_envs.gui.candidates import MOST, candidates
from jaxrl_envs.gui.screen_look import ScreenLook
from jaxrl_envs.gui.screen_text import ScreenText, TextLine
from jaxrl_envs.gui.simulate_reading import ReadingNoise, fit_noise, simulate_reading
from jaxrl_envs.gui.synthetic_screens import ScreenConfig, generate_screen
from jaxrl_envs.gui.text_match import codes_of, find, letters, pack
from jaxrl_envs.gui.text_rows import rows_of

WIDTH, HEIGHT = 400, 300


def screen(lines, image=None):
    """Rows and look of a white screen with lines (text, box)."""
    text = ScreenText(tuple(TextLine.of(*line) for line in lines), WIDTH, HEIGHT)
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8) if image is None else image
    return rows_of(text), ScreenLook(image)


def slow_cost(pattern, text):
    """Edit distance of the cheapest part of a text, by the plain recursion; unit costs."""
    before = [0] * (len(text) + 1)
    for i, p in enumerate(pattern, 1):
        now = [i]
        for j, t in enumerate(text, 1):
            now.append(min(before[j - 1] + (p != t), before[j] + 1, now[j - 1] + 1))
        before = now
    return min(before)


def test_matches_cost_what_the_plain_recursion_says():
    generator = np.random.default_rng(0)
    for _ in range(60):
        # these letters have no look-alikes among them
        text = "".join(generator.choice(list("agpw4"), size=int(generator.integers(3, 14))))
        pattern = "".join(generator.choice(list("agpw4"), size=int(generator.integers(1, 7))))
        found = find(codes_of(pattern), pack([codes_of(text)]), worst=1.0)
        best = min((match.cost for match in found), default=20 * len(pattern))
        assert best == 20 * slow_cost(pattern, text), (pattern, text)
        for match in found:
            assert 0 <= match.start < match.stop <= len(text)
            if match.cost == 0:
                assert text[match.start : match.stop] == pattern


def test_letters_forget_case_spaces_accents_and_typography():
    for one, two in (("Save As…", "SAVEAS..."), ("café – “x”", 'CAFE - "x"'), ("ﬁle", "F ile")):
        assert letters(one)[0] == letters(two)[0]
    plain, places = letters("a b")
    assert plain == "ab" and places == [0, 2]


def test_the_part_of_a_line_is_pointed_at_and_not_its_middle():
    rows, look = screen([("HomeDocs About", (10, 10, 150, 26))])
    found = candidates("Docs", rows, look)
    np.testing.assert_allclose(found.boxes[0], [50, 10, 90, 26], atol=0.1)
    np.testing.assert_allclose(found.points[0], [70, 18], atol=0.1)
    assert found.cost[0] == 0 and found.features.shape == (len(found), FEATURES)


def test_texts_broken_over_lines_and_over_boxes_are_found():
    rows, look = screen(
        [
            ("Transfer data between", (10, 10, 210, 26)),
            ("threads", (10, 30, 80, 46)),
            ("Open", (10, 100, 50, 116)),
            ("file", (70, 100, 110, 116)),
        ]
    )
    broken = candidates("Transfer data between threads", rows, look)
    np.testing.assert_allclose(broken.boxes[0], [10, 10, 210, 46], atol=0.1)
    assert broken.points[0][1] == pytest.approx(18)  # in its longer line
    beside = candidates("Open file", rows, look)
    np.testing.assert_allclose(beside.boxes[0], [10, 100, 110, 116], atol=0.1)


def test_what_a_line_leaves_out_or_a_reader_does_not_know_is_not_asked_for():
    rows, look = screen(
        [
            ("Email me when someon...", (10, 10, 190, 26)),
            ("Forms", (10, 50, 50, 66)),
            ("Hot", (110, 50, 134, 66)),
            ("dashboard", (10, 90, 90, 106)),
        ]
    )
    cases = {
        "Email me when someone follows me": (10, 10, 190, 26),
        "Forms Hot": (10, 50, 134, 66),
        "dashboard \u0644\u0648\u062d\u0629": (10, 90, 90, 106),
        "\u25ba dashboard": (10, 90, 90, 106),
    }
    for asked, box in cases.items():
        found = candidates(asked, rows, look)
        np.testing.assert_allclose(found.boxes[0], box, atol=0.1, err_msg=asked)
        assert found.cost[0] == 0
    assert letters("\u0644\u0648")[0] == "\u0644\u0648"


def test_whole_words_come_before_letters_inside_words():
    lines = [(f"entent{k}", (10, 10 + 9 * k, 90, 18 + 9 * k)) for k in range(28)]
    rows, look = screen([*lines, ("en", (200, 280, 220, 292))])
    found = candidates("en", rows, look)
    assert len(found) == MOST
    np.testing.assert_allclose(found.boxes[0], [200, 280, 220, 292], atol=0.1)


def test_a_reading_counts_only_where_it_stands():
    rows, look = screen([("Open file", (10, 10, 100, 26)), ("file", (10, 40, 50, 56))])
    assert candidates("Click on Open file", rows, look).reading == "Open file"
    rows, look = screen([("File", (10, 40, 50, 56))])
    assert candidates("Open File", rows, look).reading == "File"
    assert candidates("click the File menu", rows, look).role == "menu"


def test_colours_frames_and_underlines_are_seen():
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    image[12:24, 12:60:2] = (20, 20, 20)
    image[52:64, 12:60:2] = (20, 60, 230)
    image[66:67, 10:62] = (20, 60, 230)
    image[90:120, 5:120] = (200, 220, 200)
    image[99:111, 22:70:2] = 0
    boxes = [(10, 10, 62, 26), (10, 50, 62, 68), (20, 96, 72, 114)]
    rows, look = screen([("Same", box) for box in boxes], image)
    found = candidates("Same", rows, look)
    order = [int(np.argmin(np.abs(found.boxes[:, 1] - box[1]))) for box in boxes]
    plain, link, button = found.features[order]

    def seen(row, name):
        return row[NAMES.index(name)]

    assert seen(link, "ink saturation") > 1 > seen(plain, "ink saturation")
    assert seen(link, "underlined") == 1 and seen(plain, "underlined") == 0
    assert seen(button, "framed") == 1 and seen(plain, "framed") == 0
    np.testing.assert_allclose(look.look(boxes[2]).frame, [5, 90, 120, 120], atol=1)


def test_anything_gives_finite_features():
    generator = np.random.default_rng(3)
    for _ in range(30):
        lines = []
        for _ in range(int(generator.integers(0, 9))):
            x, y = generator.uniform(-20, 390, 2)
            text = "".join(
                generator.choice(list("ab .漢é\u00a0"), size=int(generator.integers(1, 9)))
            )
            lines.append((text + "a", (x, y, x + generator.uniform(0.1, 90), y + 0.5)))
        image = generator.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        rows, look = screen(lines, image)
        for asked in ("a", "ab b", "漢", "..", "a much longer text that stands nowhere on it"):
            found = candidates(asked, rows, look)
            assert np.isfinite(found.features).all() and np.abs(found.features).max(initial=0) <= 4
            assert len(found) <= MOST and found.points.shape == (len(found), 2)


def test_simulated_readings_keep_most_texts_findable():
    config = ScreenConfig(height=400, width=640, words=500)
    made = generate_screen(config, 4)
    assert made.runs and all(run.edges.shape == (len(run.text), 2) for run in made.runs)
    clean = simulate_reading(
        made.runs, 640, 400, np.random.default_rng(0),
        ReadingNoise(missed=0, clean=1, tight=0, joined=0, shift=0),
    )  # fmt: skip
    assert sorted(line.text for line in clean.lines) == sorted(r.text.strip() for r in made.runs)
    noisy = simulate_reading(made.runs, 640, 400, np.random.default_rng(0))
    rows, look = rows_of(noisy), ScreenLook(made.pixels)
    texts = {e.text for e in made.elements if e.visible and 3 < len(e.text) < 40}
    found = sum(bool(len(candidates(text, rows, look))) for text in texts)
    assert found >= 0.9 * len(texts)


def test_noise_is_fitted_to_pairs():
    pairs = [("Open file", "Openfile"), ("Save", "Save"), ("Print all", "Pr1nt all"), ("Go", None)]
    noise = fit_noise(pairs)
    assert noise.missed == 0.25 and noise.clean == pytest.approx(2 / 3)
    assert noise.changed == pytest.approx(1 / 9) and noise.lost == 0
    assert noise.tight == 0.5 and noise.no_space == 1.0
    assert fit_noise([]) == ReadingNoise()
