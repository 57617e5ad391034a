"""Training, evaluation, controls and refinement of the pointing policy, on tiny settings."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.networks.reader import ReaderConfig, reader_init
from jaxrl_rewards.studies.gui_g2.train import controls, data, pretraining, training
from jaxrl_rewards.studies.gui_g2.train.checkpoint import (
    corpus_hashes,
    instruction_hash,
    load_checkpoint,
    save_checkpoint,
)
from jaxrl_rewards.studies.gui_g2.train.config import PointingConfig
from jaxrl_rewards.studies.gui_g2.train.metrics import (
    family_interval,
    inside,
    page_family,
    size_class,
)
from jaxrl_rewards.studies.gui_g2.train.predict import bucket, image_tiles, point, prepare_image
from jaxrl_rewards.studies.gui_g2.train.pretraining import (
    cells_inside,
    character_loss,
    click_loss,
    orthogonalise,
)
from jaxrl_rewards.studies.gui_g2.train.refinement import RefineConfig, sample_rewards

TINY = PointingConfig(
    screens=6, patches=8, read_steps=2, point_steps=2, patch_batch=4, batch=2, instructions=2,
    refine_updates=2, system_fonts=False, report_every=2,
)  # fmt: skip


def test_page_families_of_the_web_set_join_variants():
    pairs = {
        "miniwob_book-flight_3.png": "book-flight",
        "miniwob_book-flight-nodelay_27.png": "book-flight",
        "miniwob_click-checkboxes-large_11.png": "click-checkboxes",
        "miniwob_click-checkboxes_11.png": "click-checkboxes",
        "miniwob_read-table-2_11.png": "read-table",
        "miniwob_button-delay_3.png": "click-button",
        "miniwob_click-button-sequence_3.png": "click-button",
        "folder/shop_12.jpg": "shop",
        "plain.png": "plain",
    }
    assert {name: page_family(name) for name in pairs} == pairs


def test_real_set_has_42_families(shared_data):
    path = shared_data / "gui" / "web_screens" / "screenspot_web.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not there")
    rows = json.loads(path.read_text())
    assert len({page_family(row["img_filename"]) for row in rows}) == 42


def test_family_interval_draws_families_not_rows():
    hits = [True] * 50 + [False] * 50
    by_row = family_interval(hits, [str(i) for i in range(100)])
    by_family = family_interval(hits, ["a"] * 50 + ["b"] * 50)
    assert 0.38 < by_row[0] < by_row[1] < 0.62
    assert by_family == (0.0, 1.0)


def test_inside_is_closed_and_size_classes_split_by_height():
    assert inside((3, 5), (1, 2, 3, 5)) and not inside((3.01, 5), (1, 2, 3, 5))
    assert [size_class((0, 0, 9, h)) for h in (11.9, 12, 24)] == [
        "below 12 px", "12-24 px", "24 px and above",
    ]  # fmt: skip


@pytest.mark.slow
def test_losses_against_numpy():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(3, 4, 96))
    labels = generator.integers(-1, 96, (3, 4))
    weight = np.where(labels < 0, 0, np.where(labels == 0, 0.25, 1.0))
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    picked = np.take_along_axis(log_p, np.maximum(labels, 0)[..., None], -1)[..., 0]
    expected = -(weight * picked).sum() / weight.sum()
    found = character_loss(jnp.float32(logits), jnp.asarray(labels, jnp.int8), 0.25)
    np.testing.assert_allclose(found, expected, rtol=1e-5)

    flat = generator.normal(size=(2, 7))
    mask = np.array([[1, 0, 1, 0, 0, 0, 0], [0] * 7], bool)
    share = np.exp(flat[0]) / np.exp(flat[0]).sum()
    value, gradient = jax.value_and_grad(click_loss)(jnp.float32(flat), jnp.asarray(mask))
    np.testing.assert_allclose(value, -np.log(share[mask[0]].sum()), rtol=1e-5)
    assert np.isfinite(gradient).all() and np.abs(gradient[1]).max() < 1e-6


def test_cells_inside_ignores_padding_boxes():
    points = jnp.array([[1.0, 1.0], [5.0, 5.0], [0.0, 0.0]])
    boxes = jnp.array([[[0.5, 0.5, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0]]])
    assert cells_inside(boxes, points).tolist() == [[True, False, False]]


def test_orthogonalise_evens_out_singular_values():
    matrix = np.random.default_rng(1).normal(size=(3, 4, 8)).astype(np.float32)
    values = np.linalg.svd(np.asarray(orthogonalise(matrix)).reshape(12, 8), compute_uv=False)
    values /= np.sqrt(12 / 8)
    assert values.min() > 0.5 and values.max() < 1.3


def test_sample_rewards():
    points = jnp.array([[5.0, 5.0], [10.0, 5.0], [12.0, 5.0], [30.0, 30.0]])
    boxes = jnp.array([[0.0, 0.0, 10.0, 10.0], [28.0, 28.0, 32.0, 32.0], [0.0, 0.0, 0.0, 0.0]])
    binary = sample_rewards(points, boxes, "binary", 0.5)
    assert binary.tolist() == [1.0, 1.0, 0.0, 1.0]
    gaussian = sample_rewards(points, boxes, "gaussian", 0.5)
    np.testing.assert_allclose(gaussian, [1, np.exp(-0.5), np.exp(-0.98), 1], rtol=1e-5)
    with pytest.raises(ValueError, match="reward"):
        RefineConfig(reward="cosine")


def test_controls_on_a_made_up_set():
    # the same instruction is at the same place in all families: the text decides, pixels do not
    boxes = np.array([[10, 10, 30, 20], [10, 50, 30, 60]] * 6, np.float64)
    shapes = np.tile([100.0, 100.0], (12, 1))
    texts = ["Save", "Load"] * 6
    families = [f"f{i // 2}" for i in range(12)]
    folds = controls.family_folds(families)
    assert all(len({folds[i] for i in range(12) if families[i] == f}) == 1 for f in families)
    assert controls.constant_position(boxes, shapes, folds).mean() == 0.5
    assert controls.instruction_only(texts, boxes, shapes, folds, steps=60).mean() == 1.0
    names = [f"i{i // 2}" for i in range(12)]
    assert controls.pixel_ceiling(names, boxes) == 0.5
    overlapping = np.array([[0, 0, 10, 10], [5, 5, 20, 20], [10, 10, 12, 12]], np.float64)
    assert controls.pixel_ceiling(["a"] * 3, overlapping) == 1.0


def test_images_of_any_size_are_bucketed_and_large_ones_tiled():
    assert bucket(210) == 224 and bucket(160) == 160 and bucket(8) == 8
    assert all(n <= bucket(n) <= 1.25 * n + 8 for n in range(8, 4000, 7))
    assert len(image_tiles(np.zeros((1080, 1920, 3), np.uint8))) == 1
    tiles = image_tiles(np.zeros((2160, 3840, 3), np.uint8))
    assert len(tiles) == 9 and len({(t.right - t.left, t.bottom - t.top) for t in tiles}) == 1
    pixels, size = prepare_image(np.zeros((1080, 1918, 3), np.uint8))
    assert size.tolist() == [1080, 1920]
    assert pixels.shape[0] % 8 == 0 and pixels.shape[1] % 4 == 0
    with pytest.raises(InputError, match="uint8"):
        prepare_image(np.zeros((10, 10), np.uint8))


@pytest.mark.slow
def test_point_stays_inside_and_names_empty_instructions():
    params = reader_init(jax.random.key(0), ReaderConfig())
    image = np.random.default_rng(0).integers(0, 256, (37, 61, 3)).astype(np.uint8)
    x, y, mass = point(params, image, "Go")
    assert 0 <= x < 61 and 0 <= y < 37
    assert mass.shape == (10, 32) and abs(mass.sum() - 1) < 1e-4
    with pytest.raises(InputError, match="empty"):
        point(params, image, " ")


@pytest.mark.slow
def test_checkpoint_round_trip_and_damage(tmp_path):
    params = reader_init(jax.random.key(1), ReaderConfig())
    path = tmp_path / "reader.npz"
    save_checkpoint(path, params, corpus_hashes({"Save", "Find all:"}), {"note": 1})
    loaded = load_checkpoint(path)
    for one, two in zip(jax.tree.leaves(params), jax.tree.leaves(loaded.params), strict=True):
        np.testing.assert_allclose(two, np.asarray(one, np.float16).astype(np.float32))
    assert loaded.metadata == {"note": 1}
    assert loaded.has_seen("save") and loaded.has_seen("Find all") and not loaded.has_seen("sav")
    assert instruction_hash("Gender:") == instruction_hash(" gender ")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="damaged"):
        load_checkpoint(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(tmp_path / "none.npz")


@pytest.mark.parametrize("fields", [{"batch": 0}, {"read_steps": -1}, {"learning_rate": 0.0}])
def test_configuration_is_checked(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        PointingConfig(**fields)


@pytest.fixture
def few_screens(monkeypatch):
    """At most 16 screens in each pool: drawing the 540 of a real training would cost the most."""
    make = data.make_screens

    def fewer(config, *, count=None, **others):
        return make(config, count=min(count or config.screens, 16), **others)

    for module in (training, pretraining):
        monkeypatch.setattr(module, "make_screens", fewer)


@pytest.mark.slow
@pytest.mark.usefixtures("few_screens")
def test_training_is_deterministic_and_writes_its_files(tmp_path):
    from jaxrl_rewards.studies.gui_g2.train.pointing import evaluate, train

    first = train(TINY, tmp_path / "one", progress=False)
    train(TINY, tmp_path / "two", progress=False)
    one, two = (load_checkpoint(tmp_path / name / "gui_reader.npz") for name in ("one", "two"))
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(two.params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert 0 <= first["accuracy"]["accuracy"] <= 1 and first["refined"] is not None
    for name in ("gui_reader.npz", "gui_reader.json", "metrics.json", "curves.png"):
        assert (tmp_path / "one" / name).stat().st_size > 0
    results = evaluate(
        tmp_path / "one" / "gui_reader.npz",
        None,
        tmp_path / "eval",
        with_controls=False,
        show=False,
    )
    assert results["overall"]["count"] > 100
    assert (tmp_path / "eval" / "pointing.png").exists()
    assert json.loads((tmp_path / "eval" / "results.json").read_text())["overall"]


@pytest.mark.slow
def test_shipped_checkpoint_reads_generated_and_real_screens(tmp_path, shared_data):
    from jaxrl_rewards.studies.gui_g2.train.pointing import evaluate

    generated = evaluate(None, None, tmp_path / "generated", with_controls=False, show=False)
    assert generated["overall"]["accuracy"] >= 0.8
    folder = shared_data / "gui" / "web_screens"
    if not folder.is_dir():
        pytest.skip("the web screenshots are not there")
    real = evaluate(None, folder, tmp_path / "real", with_controls=False, show=False)
    assert real["overall"]["accuracy"] >= 0.8
    assert real["unseen"]["accuracy"] >= 0.7
