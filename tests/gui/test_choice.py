"""The choice among candidates: policy, world, training, checkpoint, pointing, evaluation."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs.gui import read_text
from jaxrl_envs.gui.candidate_features import FEATURES, NAMES
from jaxrl_envs.gui.candidates import MOST
from jaxrl_envs.gui.choice import NOWHERE, ChooseCandidate, Episodes, nearest_box
from jaxrl_envs.gui.screen_text import ScreenText, TextLine
from jaxrl_envs.gui.screenspot import ScreenSpotRecord, load_screenspot
from jaxrl_envs.gui.screenspot_write import write_screenspot

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.networks.candidate_policy import (
    ABSENT,
    candidate_logits,
    candidate_policy_init,
)
from jaxrl_rewards.rewards.spatial import PointHit
from jaxrl_rewards.studies.gui_g2.train import evaluation, pointers
from jaxrl_rewards.studies.gui_g2.train.choice_checkpoint import load_choice, save_choice
from jaxrl_rewards.studies.gui_g2.train.choice_config import ChoiceConfig
from jaxrl_rewards.studies.gui_g2.train.choice_data import (
    Row,
    episodes_of,
    generated_screens,
    stack,
)
from jaxrl_rewards.studies.gui_g2.train.choice_predict import TextPointer
from jaxrl_rewards.studies.gui_g2.train.choice_training import (
    calibrate,
    clone,
    refine,
    summary,
)

TINY = ChoiceConfig(
    screens=2, hidden=8, clone_updates=6, refine_updates=2, batch=32, prompts=16, group=4
)


@pytest.fixture(scope="module")
def rows():
    return episodes_of(generated_screens(4, 3), np.random.default_rng(0), most=14)


@pytest.fixture(scope="module")
def params():
    return candidate_policy_init(jax.random.key(0), FEATURES, 8)


def test_order_and_padding_do_not_matter(params):
    generator = np.random.default_rng(0)
    features = generator.normal(size=(MOST, FEATURES)).astype(np.float32)
    present = np.float32(np.arange(MOST) < 5)
    logits = candidate_logits(params, features, present)
    assert logits.shape == (MOST + 1,) and (logits[5:-1] == ABSENT).all()
    spoilt = np.where(present[:, None] > 0, features, np.nan).astype(np.float32)
    np.testing.assert_array_equal(candidate_logits(params, spoilt, present), logits)
    order = np.concatenate([[3, 0, 4, 1, 2], np.arange(5, MOST)])
    moved = candidate_logits(params, features[order], present)
    np.testing.assert_allclose(moved[:5], logits[order[:5]], rtol=2e-5, atol=2e-5)
    nobody = candidate_logits(params, features, np.zeros(MOST, np.float32))
    assert np.isfinite(nobody[-1]) and int(jnp.argmax(nobody)) == MOST
    slope = jax.grad(lambda p: candidate_logits(p, spoilt, present)[-1])(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


def test_rewards_of_the_world_are_those_of_the_boxes():
    boxes = np.zeros((2, MOST, 4), np.float32)
    boxes[:, 0], boxes[:, 1] = [10, 10, 30, 20], [100, 100, 130, 120]
    present = np.zeros((2, MOST), np.float32)
    present[:, :2] = 1
    targets = np.zeros((2, 4, 4), np.float32)
    targets[0, 0], targets[0, 1], targets[1, 0] = [10, 10, 30, 20], [300, 0, 310, 10], NOWHERE
    episodes = Episodes(
        features=np.zeros((2, MOST, FEATURES), np.float32),
        present=present,
        boxes=boxes,
        targets=targets,
        right=np.zeros((2, MOST + 1), np.float32),
    )
    episodes = jax.tree.map(jnp.asarray, episodes)
    world = ChooseCandidate(episodes)
    params = world.default_params()
    play = jax.jit(lambda state, action: world.step(jax.random.key(0), state, action, params)[1])
    expected = {(0, 0): 2, (0, 1): 0, (0, 5): 0, (0, MOST): 0, (1, 0): 0, (1, MOST): 2}
    state, _ = world.reset(jax.random.key(0), params)
    for (index, action), total in expected.items():
        step = play(state.replace(index=jnp.int32(index)), jnp.int32(action))
        assert step.reward == pytest.approx(total, abs=1e-5), (index, action)
        assert bool(step.terminated) and float(step.info["hit"]) == (total > 0)
    binary = ChooseCandidate(episodes, 1.0 * PointHit())
    assert binary.spec.term_names == ("point_hit",)
    near = nearest_box(jnp.array([305.0, 2, 308, 5]), jnp.asarray(targets[0]))
    np.testing.assert_array_equal(near, targets[0, 1])


def test_training_learns_and_not_found_is_calibrated(rows):
    episodes = stack(rows)
    absent = episodes.right[:, -1] > 0
    assert 0.02 < absent.mean() < 0.5
    assert (episodes.targets[absent, 0] == NOWHERE).all()
    before = summary(candidate_policy_init(jax.random.key(0), FEATURES, 8), episodes)
    params = clone(TINY, episodes)
    after = summary(params, episodes)
    assert after["hits"] > max(before["hits"], 0.6)
    bias = min(calibrate(params, episodes, 0.02), 0.0)
    there = episodes.right[:, :-1].any(axis=-1)
    logits = np.array(candidate_logits(params, episodes.features, episodes.present))
    logits[:, -1] += bias
    refused = (logits.argmax(axis=-1) == MOST)[there].mean()
    assert bias <= 0 and refused <= 0.02 + 1.5 / there.sum()
    refined, told = refine(TINY, episodes, params)
    assert told[-1]["skipped"] == 0 and summary(refined, episodes)["hits"] > 0.5


def test_an_element_without_a_candidate_has_no_right_answer(rows):
    lost = Row(rows[0].found, np.array([[5000.0, 5000, 5001, 5001]]), "x")
    episodes = stack([lost])
    assert not episodes.right.any() and (episodes.targets[0, 0] > 0).all()


def test_checkpoints_come_back_and_damage_is_named(tmp_path, params):
    path = tmp_path / "choice.npz"
    save_choice(path, params, -0.5, {"note": 1})
    loaded = load_choice(path)
    assert loaded.bias == -0.5 and loaded.metadata == {"note": 1}
    for one, two in zip(jax.tree.leaves(params), jax.tree.leaves(loaded.params), strict=True):
        np.testing.assert_allclose(two, np.asarray(one, np.float16).astype(np.float32))
    data = path.read_bytes()
    for cut in (0, 10, len(data) // 2, len(data) - 3):
        path.write_bytes(data[:cut])
        with pytest.raises(InputError, match=str(path)):
            load_choice(path)
    with pytest.raises(InputError, match="none.npz"):
        load_choice(tmp_path / "none.npz")


def test_the_shipped_choice_is_small_and_of_today():
    from importlib import resources

    folder = resources.files("jaxrl_rewards").joinpath("assets")
    assert len(folder.joinpath("gui_choice.npz").read_bytes()) <= 100_000
    assert load_choice().params["each"]["kernel"].shape[0] == len(NAMES)


def drawn(lines):
    """A white screen and a reader that knows its lines."""
    image = np.full((500, 640, 3), 255, np.uint8)
    for k, (_, (x1, y1, x2, y2)) in enumerate(lines):
        image[y1 + 3 : y2 - 3, x1:x2:2] = (20, 40, 220) if k % 2 else (10, 10, 10)
    text = ScreenText(tuple(TextLine.of(*line) for line in lines), 640, 500)
    return image, lambda pixels: text


LINES = [
    ("The settings of this page are described in Settings below.", (20, 20, 420, 36)),
    ("Settings", (20, 60, 90, 76)),
    ("Report a problem", (20, 90, 150, 106)),
    ("Downloads", (20, 120, 110, 136)),
]


def test_the_shipped_choice_points_at_whole_links_and_knows_what_is_not_there():
    image, read = drawn(LINES)
    pointer = TextPointer.load(read=read)
    asked = ["Settings", 'Click the "Downloads" link', "report a problem", "Wobblefrotz quandle"]
    answers = pointer.answer(image, asked)
    assert [answer.found for answer in answers] == [True, True, True, False]
    for answer, (_, box) in zip(answers, (LINES[1], LINES[3], LINES[2]), strict=False):
        assert box[0] <= answer.point[0] <= box[2] and box[1] <= answer.point[1] <= box[3]
    assert pointer.answer(image, []) == []
    empty = TextPointer(pointer.params, read=lambda pixels: ScreenText((), 640, 500))
    assert not empty.answer(image, ["Settings"])[0].found
    with pytest.raises(InputError, match="empty"):
        pointer.answer(image, [" "])


@pytest.fixture
def folder(tmp_path):
    image, read = drawn(LINES)
    records = [
        ScreenSpotRecord(
            image_path=tmp_path / f"{app}.png", image_name=f"{app}.png", instruction=text,
            box=tuple(map(float, box)), image_size=(640, 500), data_type=kind, data_source=app,
            platform=platform, group=group,
        )
        for app, platform, group in (("paint", "windows", "Office"), ("gimp", "linux", "CAD"))
        for (text, box), kind in zip(LINES[1:], ("text", "icon", "text"), strict=True)
    ]  # fmt: skip
    images = {"paint.png": image, "gimp.png": image.copy()}
    images["gimp.png"][0, 0] = 7
    write_screenspot(tmp_path / "set", records, images, version="pro")
    return tmp_path / "set", read


def test_evaluation_by_platform_application_and_page(folder, tmp_path, monkeypatch, capsys):
    where, read = folder
    monkeypatch.setattr(pointers, "missing_sentence", lambda: None)
    pointer = TextPointer.load(read=read)
    monkeypatch.setattr(pointers, "_text_pointer", lambda choice, cache: pointer)
    results = evaluation.evaluate(None, where, tmp_path / "out", reader="auto")
    assert results["overall"]["accuracy"] == 1 and results["policies"] == {"ocr": 6}
    assert set(results["by_application"]) == {"paint", "gimp"}
    assert set(results["by_group"]) == {"Office", "CAD"}
    assert results["by_platform_and_type"]["windows, text"]["count"] == 2
    assert results["by_page"]["count"] == 2 and results["controls"] == {}
    assert set(results["by_family"]) == {"paint: paint", "gimp: gimp"}
    printed = capsys.readouterr().out
    assert "windows, icon" in printed and "text only" in printed


def test_without_the_extra_our_reader_points_and_one_sentence_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rapidocr_onnxruntime", None)
    monkeypatch.setattr(
        pointers, "predict_image", lambda p, image, texts: np.zeros((len(texts), 2))
    )
    said = []
    pointer = pointers.make_pointer(None, "auto", note=said.append)
    image = np.zeros((800, 1280, 3), np.uint8)
    for _ in range(3):
        assert pointer(image, ["a", "b"]).policy == "own"
    assert len(said) == 1 and "pip install 'jaxrl-rewards[ocr]'" in said[0]
    pointer(image[:100, :100], ["a"])
    with pytest.raises(InputError, match="pip install"):
        pointers.make_pointer(None, "ocr")
    with pytest.raises(InputError, match="tesseract"):
        pointers.make_pointer(None, "tesseract")


def test_small_screens_are_left_to_our_reader(monkeypatch):
    monkeypatch.setattr(pointers, "missing_sentence", lambda: None)
    monkeypatch.setattr(
        pointers, "predict_image", lambda p, image, texts: np.zeros((len(texts), 2))
    )
    assert (
        pointers.make_pointer(None, "auto")(np.zeros((210, 160, 3), np.uint8), ["a"]).policy
        == "own"
    )


def written(tmp_path, value):
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_points_and_boxes_of_other_models_are_measured(folder, tmp_path, capsys):
    where, _ = folder
    records = load_screenspot(where).records
    centres = [[(r.box[0] + r.box[2]) / 2, (r.box[1] + r.box[3]) / 2] for r in records]
    named = [
        {"img_filename": r.image_name, "instruction": r.instruction, "bbox": list(r.box)}
        for r in records[::-1]
    ]
    shares = [[x / 640, y / 500] for x, y in centres]
    for value in (centres, named, shares, [{"point": point} for point in centres]):
        found = evaluation.evaluate(
            None, where, tmp_path / "out", predictions=written(tmp_path, value), show=False
        )
        assert found["overall"]["accuracy"] == 1 and found["policies"] == {"predictions": 6}
    some = [None, *centres[1:]]
    found = evaluation.evaluate(
        None, where, tmp_path / "out", predictions=written(tmp_path, some), show=False
    )
    assert found["overall"]["accuracy"] == pytest.approx(5 / 6)
    assert found["not_found"] == pytest.approx(1 / 6)
    for bad, word in (
        (centres[:-1], "5 predictions for 6 records"),
        (named[1:], "no prediction for"),
        ([*centres[:-1], [1, 2, 3]], "give \\[x, y\\]"),
        ([*centres[:-1], ["a", 2]], "give \\[x, y\\]"),
        ([*centres[:-1], {"answer": 1}], "none of the fields"),
    ):
        with pytest.raises(InputError, match=word):
            evaluation.evaluate(
                None, where, tmp_path / "out", predictions=written(tmp_path, bad), show=False
            )
    with pytest.raises(InputError, match="--data"):
        evaluation.evaluate(None, None, tmp_path / "out", predictions=tmp_path / "x", show=False)


def test_webp_is_read_and_a_cut_one_named():
    import io

    from jaxrl_envs.gui.screenspot_images import check_image_bytes, decode_image_bytes
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="WEBP", lossless=True)
    data = buffer.getvalue()
    assert check_image_bytes(data) == (40, 24)
    np.testing.assert_array_equal(decode_image_bytes(data), pixels)
    for cut in (13, len(data) // 2, len(data) - 2):
        with pytest.raises(InputError, match="WebP file is truncated"):
            decode_image_bytes(data[:cut])


def test_large_screens_are_reduced_for_the_controls_and_taken_one_by_one():
    from jaxrl_rewards.networks.reader import reader_init
    from jaxrl_rewards.studies.gui_g2.train import controls

    taken = []

    def images():
        for index in range(4):
            taken.append(index)
            yield np.full((2160, 3840, 3), 40 * index, np.uint8)

    boxes = [np.array([[0.0, 0, 3840, 2160], [3800, 2100, 3801, 2101]])] * 4
    hits = controls.pixels_only(
        reader_init(jax.random.key(0)), images(), boxes, np.array([0, 0, 1, 1]), steps=2, batch=2
    )
    assert taken == [0, 1, 2, 3] and all(hit[0] and len(hit) == 2 for hit in hits)


def test_the_size_of_generated_screens_is_checked():
    from jaxrl_rewards.studies.gui_g2.train import screen_size

    assert screen_size("1280x800") == (1280, 800) and screen_size(None) is None
    for bad in ("1280", "x", "1281x800", "1280x801", "0x0", "99999x8", "-8x80", "1e3x800"):
        with pytest.raises(InputError, match="--screen"):
            screen_size(bad)


def test_the_extra_is_named_before_anything_is_written(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "rapidocr_onnxruntime", None)
    read_text.rapid_engine.cache_clear()
    with pytest.raises(InputError, match="pip install"):
        TextPointer.load()
    read_text.rapid_engine.cache_clear()
