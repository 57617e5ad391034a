import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from jaxrl_envs.gui.chromium import Chromium, PageError, find_chromium
from jaxrl_envs.gui.collect import collect, find_pages, main
from jaxrl_envs.gui.collect_dom import choose_elements
from jaxrl_envs.gui.screenspot import load_screenspot

from jaxrl_rewards.core.errors import InputError

STYLE = "position:absolute;margin:0;padding:0;border:0;"


def has_chromium() -> bool:
    try:
        find_chromium()
    except InputError:
        return False
    return True


needs_chromium = pytest.mark.skipif(
    not has_chromium(), reason="no Chromium or Chrome on this machine; set CHROME_PATH"
)

# name, CSS box (left, top, width, height), colour, markup
PARTS = [
    ("Save", (20, 30, 100, 40), (255, 0, 0), '<button style="{}">Save</button>'),
    ("Close", (140, 30, 30, 30), (0, 0, 255), '<button style="{}" aria-label="Close"></button>'),
    ("Home", (200, 30, 24, 24), (0, 128, 0), '<a href="#" title="Home" style="{}"></a>'),
    ("Your name", (20, 100, 150, 25), (255, 255, 0), '<input placeholder="Your name" style="{}">'),
    ("Send", (20, 140, 80, 25), (0, 255, 255), '<input type="submit" value="Send" style="{}">'),
    ("Menu", (120, 140, 60, 25), (255, 0, 255), '<div role="menuitem" style="{}">Menu</div>'),
    ("Pay", (20, 180, 70, 20), (128, 128, 0), '<span onclick="0" style="{}">Pay</span>'),
]
ICONS = {"Close", "Home"}


def page(*bodies: str) -> str:
    return (
        "<!doctype html><meta charset=utf-8><body style='margin:0;font:12px sans-serif'>"
        + "\n".join(bodies)
    )


def styled(box, colour, markup) -> str:
    left, top, width, height = box
    place = f"left:{left}px;top:{top}px;width:{width}px;height:{height}px;"
    return markup.format(f"{STYLE}{place}background:rgb{colour}")


def parts_page() -> str:
    return page(*(styled(box, colour, markup) for _, box, colour, markup in PARTS))


@needs_chromium
@pytest.mark.parametrize("scale", [1.0, 2.0, 1.5])
def test_boxes_and_pixels(tmp_path, scale):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "one.html").write_text(parts_page(), encoding="utf-8")
    shots = collect(tmp_path / "pages", tmp_path / "out", 300, 240, device_scale=scale)
    assert shots.problems == ()
    assert {r.instruction: r.box for r in shots.records} == {
        name: (x * scale, y * scale, (x + w) * scale, (y + h) * scale)
        for name, (x, y, w, h), _, _ in PARTS
    }
    for record, (name, _, colour, _) in zip(shots.records, PARTS, strict=True):
        assert record.data_type == ("icon" if name in ICONS else "text")
        image = shots.image(record)
        assert image.shape == (240 * scale, 300 * scale, 3)
        x1, y1, x2, y2 = (round(value) for value in record.box)
        # The corner inside has the element's colour, the pixel outside the page's.
        np.testing.assert_allclose(image[y2 - 2, x2 - 2], colour, atol=2)
        assert (image[y2 + 1, x2 + 1] == 255).all()
    assert load_screenspot(tmp_path / "out").records == shots.records
    assert {record.extra["page"] for record in shots.records} == {"one.html"}


@needs_chromium
def test_what_is_left_out(tmp_path):
    box = "left:{}px;top:{}px;width:60px;height:20px;"
    bodies = [
        f'<button style="{STYLE}{box.format(10, 10)}">Seen</button>',
        f'<button style="{STYLE}{box.format(10, 40)}display:none">None</button>',
        f'<button style="{STYLE}{box.format(10, 40)}visibility:hidden">Hidden</button>',
        f'<button style="{STYLE}{box.format(10, 40)}opacity:0">Clear</button>',
        f'<button style="{STYLE}{box.format(10, 400)}">Below</button>',
        f'<button style="{STYLE}{box.format(-50, 40)}">Mostly out</button>',
        f'<button style="{STYLE}{box.format(280, 40)}">Partly out</button>',
        f'<button style="{STYLE}{box.format(10, 70)}">Covered</button>',
        f'<div style="{STYLE}{box.format(10, 70)}background:grey"></div>',
        f'<button style="{STYLE}{box.format(10, 100)}">Twice</button>',
        f'<button style="{STYLE}{box.format(100, 100)}">twice</button>',
        f'<button style="{STYLE}{box.format(10, 130)}"></button>',
        f'<button style="{STYLE}left:10px;top:150px;width:60px;height:2px">Thin</button>',
        f'<input type="hidden" value="Secret"><p style="{STYLE}top:170px">No button</p>',
        f'<input type="password" value="hunter2" style="{STYLE}{box.format(10, 190)}">',
    ]
    (tmp_path / "a.html").write_text(page(*bodies))
    shots = collect(tmp_path / "a.html", tmp_path / "out", 320, 240)
    boxes = {record.instruction: record.box for record in shots.records}
    assert set(boxes) == {"Seen", "Partly out"}
    assert boxes["Partly out"] == (280.0, 40.0, 320.0, 60.0)
    kept = collect(tmp_path / "a.html", tmp_path / "kept", 320, 240, ambiguous="keep")
    texts = [record.instruction for record in kept.records]
    assert sorted(texts) == ["Partly out", "Seen", "Twice", "twice"]


@needs_chromium
def test_twins_and_labels(tmp_path):
    bodies = [
        "<p><label><input type=checkbox> I agree</label>",
        "<p><label for=mail>Email</label> <input id=mail value='x@y.z'>",
        "<p><a href='#'><button>Buy</button></a>",
        "<p><select><option>One<option selected>Two</select>",
        "<p><a href='#'><img alt='Logo' width=20 height=20></a>",
    ]
    (tmp_path / "a.html").write_text(page(*bodies))
    shots = collect(str(tmp_path / "a.html"), tmp_path / "out", 320, 240)
    found = {record.instruction: record.extra["element"] for record in shots.records}
    assert found == {
        "I agree": "label",
        "Email": "input",
        "Buy": "button",
        "Two": "select",
        "Logo": "a",
    }


SR_ONLY = (
    "position:absolute;width:1px;height:1px;overflow:hidden;clip:rect(0 0 0 0);white-space:nowrap"
)


def collected(tmp_path, *bodies, **options):
    (tmp_path / "a.html").write_text(page(*bodies))
    shots = collect(tmp_path / "a.html", tmp_path / "out", 320, 240, **options)
    return {record.instruction: record for record in shots.records}


@needs_chromium
def test_pointer_cursors_and_listeners(tmp_path):
    found = collected(
        tmp_path,
        "<div style='cursor:pointer;width:80px'><b>Pointer</b></div>",
        "<div id=heard style='width:80px'><i>Heard</i></div>",
        "<div id=keys style='width:80px'>Only keys</div>",
        "<div style='cursor:pointer;width:200px'>Card <button>Buy</button></div>",
        "<ul id=list style='margin:0'><li style='cursor:pointer;width:60px'>First"
        "<li style='cursor:pointer;width:60px'>Second</ul>",
        "<script>const by = (id) => document.getElementById(id);"
        "by('heard').addEventListener('click', () => 0); by('list').onclick = () => 0;"
        "by('keys').addEventListener('keydown', () => 0);"
        "document.addEventListener('click', () => 0);"
        "document.body.addEventListener('click', () => 0)</script>",
    )
    assert set(found) == {"Pointer", "Heard", "Buy", "First", "Second"}
    assert found["Heard"].extra["element"] == "div"
    assert found["Heard"].box[2] == 80.0


@needs_chromium
def test_other_visible_text_makes_an_instruction_ambiguous(tmp_path):
    bodies = [
        "<h3 style='margin:0'>Save</h3><button>save</button>",
        "<p>Go on <b>reading</b></p><button>Go on reading</button>",
        "<p>Press Send to end.</p><button>Send</button>",
        "<span style='display:none'>Hidden twin</span><button>Hidden twin</button>",
        f"<span style='{SR_ONLY}'>Spoken twin</span><button>Spoken twin</button>",
        "<span style='position:absolute;top:900px'>Far twin</span><button>Far twin</button>",
        "<input value='Typed' aria-label=Field><button>Typed</button>",
        "<label for=x>Name</label><input id=x>",
    ]
    found = collected(tmp_path, *bodies)
    assert set(found) == {"Send", "Hidden twin", "Spoken twin", "Far twin", "Field", "Name"}
    (tmp_path / "more").mkdir()
    kept = collected(tmp_path / "more", *bodies, ambiguous="keep")
    assert {"save", "Go on reading", "Typed"} <= set(kept)


@needs_chromium
def test_texts_for_screen_readers_are_not_visible_text(tmp_path):
    box = "position:absolute;left:10px;width:120px;height:20px;"
    found = collected(
        tmp_path,
        f"<button style='{box}top:0'>Open<span style='{SR_ONLY}'> in a new tab</span></button>",
        f"<button style='{box}top:30px'><span style='{SR_ONLY}'>Close</span></button>",
        f"<a href='#' style='{box}top:60px;overflow:hidden;text-indent:-9999px'>Home</a>",
        f"<button style='{box}top:90px'>Two<i style='clip-path:inset(50%)'> more</i></button>",
        f"<a href='#' style='{SR_ONLY}'>Skip to content</a>",
    )
    assert {name: record.data_type for name, record in found.items()} == {
        "Open": "text",
        "Close": "icon",
        "Home": "icon",
        "Two": "text",
    }
    assert found["Close"].extra["text_source"] == "hidden"


@needs_chromium
def test_frames_show_no_local_file(tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    red = "<body style='margin:0;background:rgb(255,0,0)'>secret"
    (tmp_path / "secret.html").write_text(red)
    (tmp_path / "secret.txt").write_text("secret")
    (pages / "red.css").write_text("button { background: rgb(0,0,255); border: 0 }")
    place = "position:absolute;left:0;top:{}px;width:100px;height:40px;border:0"
    inner = f'<iframe src="{(tmp_path / "secret.html").as_uri()}"></iframe>'
    (pages / "a.html").write_text(
        page(
            "<link rel=stylesheet href=red.css><button style='height:30px;width:80px'>Go</button>",
            f"<iframe src='../secret.html' style='{place.format(40)}'></iframe>",
            f"<object data='../secret.html' style='{place.format(80)}'></object>",
            f"<embed src='../secret.txt' style='{place.format(120)}'>",
            f"<iframe srcdoc='{inner}' style='{place.format(160)}'></iframe>",
            "<script>setTimeout(() => { const late = document.createElement('iframe');"
            f"late.style = '{place.format(200)}'; late.src = '../secret.html';"
            "document.body.append(late) }, 20)</script>",
        )
    )
    (pages / "b.html").write_text(page("<script>location.href = '../secret.txt'</script>"))
    shots = collect(pages, tmp_path / "out", 320, 240, timeout=8.0)
    assert [record.instruction for record in shots.records] == ["Go"]
    assert len(shots.problems) == 1 and shots.problems[0].startswith("b.html: ")
    image = shots.image(shots.records[0]).astype(int)
    assert (image[25, 75] == [0, 0, 255]).all()  # the page's own files are read
    assert not ((image[..., 0] > 200) & (image[..., 1] < 50)).any()


@needs_chromium
def test_nothing_is_downloaded(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    found = collected(
        tmp_path,
        "<button>Go</button><a id=get download='got.txt' href='data:text/plain,got'>Get</a>",
        "<script>document.getElementById('get').click()</script>",
        settle=1.0,
    )
    assert set(found) == {"Go", "Get"}
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("got")]


@needs_chromium
def test_bad_pages_are_reported_and_skipped(tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "b_alert.html").write_text(
        page("<script>alert('stop'); confirm('sure?')</script><button>Go</button>")
    )
    (pages / "c_empty.html").write_text(page("nothing"))
    (pages / "d_hostile.html").write_text(
        page(
            "<script>Array.from = JSON.stringify = Array.prototype.map = () => 1;"
            "document.querySelectorAll = () => [];</script><button>Still</button>"
        )
    )
    (pages / "e_moved.html").write_text(page("<script>location.href='f_last.html'</script>"))
    (pages / "f_last.html").write_text(page("<button>Last</button>"))
    lines = []
    dead = "http://127.0.0.1:9/nothing.html"
    shots = collect([pages, dead], tmp_path / "out", 320, 240, report=lines.append)
    assert [problem.split(":")[0] for problem in shots.problems] == ["c_empty.html", "http"]
    assert "does not open" in shots.problems[1]
    found = [(record.extra["page"], record.instruction) for record in shots.records]
    assert found == [
        ("b_alert.html", "Go"),
        ("d_hostile.html", "Still"),
        ("e_moved.html", "Last"),
        ("f_last.html", "Last"),
    ]
    assert len(lines) == 6
    assert load_screenspot(tmp_path / "out").records == shots.records


@needs_chromium
@pytest.mark.slow
def test_a_page_that_never_ends(tmp_path):
    for name, body in (("a", "<script>for(;;);</script>"), ("b", "<button>Go</button>")):
        (tmp_path / f"{name}.html").write_text(page(body))
    shots = collect([tmp_path], tmp_path / "out", 320, 240, timeout=4.0)
    assert len(shots.problems) == 1
    assert shots.problems[0].startswith("a.html: ") and "in time" in shots.problems[0]
    assert [record.instruction for record in shots.records] == ["Go"]
    with pytest.raises(InputError, match="none of the 1 pages gave an element.*in time"):
        collect([tmp_path / "a.html"], tmp_path / "none", timeout=1.0)
    assert not (tmp_path / "none").exists()


def alive_in_group(group: int) -> list[str]:
    """The processes of a group that are not just waiting to be reaped, where /proc tells."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(its_group) == group and state not in "ZX":
            lines.append(path.parent.name)
    return lines


@needs_chromium
def test_browser_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Chromium(find_chromium()) as browser:
        assert "Chrome" in browser.version
        pid = browser._pid
        with pytest.raises(PageError, match="wasn't found"):
            browser.call("No.suchMethod")
        with pytest.raises(PageError, match="in time"):
            browser.wait_for(lambda event: False, time.monotonic() + 0.05, "nothing")
    assert list(tmp_path.iterdir()) == []
    deadline = time.monotonic() + 10.0
    while alive_in_group(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive_in_group(pid) == []


def test_a_program_that_is_no_browser(tmp_path):
    (tmp_path / "a.html").write_text(parts_page())
    program = tmp_path / "fake"
    program.write_text("#!/bin/sh\necho I am no browser >&2\n")
    program.chmod(0o755)
    with pytest.raises(InputError, match="did not start.*I am no browser"):
        collect(tmp_path / "a.html", tmp_path / "out", chromium=str(program))
    assert not (tmp_path / "out").exists()


def test_find_chromium(tmp_path, monkeypatch):
    monkeypatch.setenv("CHROME_PATH", str(tmp_path / "none"))
    with pytest.raises(InputError, match="CHROME_PATH names"):
        find_chromium()
    monkeypatch.delenv("CHROME_PATH")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("jaxrl_envs.gui.chromium.CHROME_PLACES", ())
    with pytest.raises(InputError, match="install chromium"):
        find_chromium()
    program = tmp_path / "google-chrome"
    program.write_text("")
    program.chmod(0o755)
    assert find_chromium() == str(program)


def test_find_pages(tmp_path):
    for name in ("b.html", "sub/a.HTM", "sub/b.html", "note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    pages = find_pages([tmp_path, tmp_path / "b.html", "https://example.org/x?y=1"])
    assert [page.name for page in pages][:3] == ["b.html", "sub/a.HTM", "sub/b.html"]
    assert [page.image_name for page in pages] == [
        "b.png",
        "sub_a.png",
        "sub_b.png",
        "b_2.png",
        "example.org_x_y_1.png",
    ]
    assert pages[0].url.startswith("file:///")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"width": 8}, "width is 8"),
        ({"height": 10**6}, "height is 1000000"),
        ({"width": 100.5}, "width is 100.5"),
        ({"device_scale": 0}, "device_scale is 0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"settle": -1}, "settle is -1"),
        ({"ambiguous": "maybe"}, "'drop' or 'keep'"),
        ({"sources": []}, "no pages"),
        ({"sources": "ftp://example.org/"}, "unknown scheme"),
        ({"sources": "missing.html"}, "neither a folder"),
        ({"chromium": "/nowhere/chrome"}, "is no program"),
    ],
)
def test_bad_options(tmp_path, change, words):
    (tmp_path / "a.html").write_text(parts_page())
    options = {"sources": tmp_path / "a.html", "out_dir": tmp_path / "out"} | change
    with pytest.raises(InputError, match=words):
        collect(**options)
    assert not (tmp_path / "out").exists()


def test_command_line_faults(tmp_path, capsys, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.html").write_text(parts_page())
    assert main([str(tmp_path / "empty"), "--out", str(tmp_path / "out")]) == 2
    assert main([str(tmp_path / "a.html"), "--out", str(tmp_path / "empty")]) == 2
    monkeypatch.setenv("CHROME_PATH", str(tmp_path / "none"))
    assert main([str(tmp_path / "a.html"), "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.strip().split("\n")
    assert len(lines) == 3
    for line, word in zip(lines, ("no .html page", "exists already", "CHROME_PATH"), strict=True):
        assert line.startswith("error: ") and word in line
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "example:" in capsys.readouterr().out


@needs_chromium
def test_command_line_run(tmp_path, repository):
    (tmp_path / "a.html").write_text(parts_page())
    command = [sys.executable, "-m", "jaxrl_envs.gui.collect", "a.html", "--out", "shots"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(repository), str(repository / "envs")])
    }
    run = subprocess.run(
        [*command, "--width", "300", "--height", "240", "--flag=--lang=en"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "shots: 7 elements on 1 pages, 0 pages left out"
    rows = json.loads((tmp_path / "shots" / "screenspot_web.json").read_text())
    assert rows[0]["bbox"] == [20.0, 30.0, 100.0, 40.0]
    assert str(tmp_path) not in (tmp_path / "shots" / "screenspot_web.json").read_text()


def found(text, tag="button", twins=(), visible=True, x=0.0):
    return {
        **{"x1": x, "y1": 0.0, "x2": x + 20.0, "y2": 10.0, "tag": tag, "type": "", "role": ""},
        **{"visible": text if visible else "", "texts": [["text", text]] if text else []},
        "twins": list(twins),
    }


def test_choose_elements_without_a_browser():
    items = [found("A"), found("a"), found("B"), found(""), found("C" * 200)]
    assert [item.instruction for item in choose_elements(items)] == ["B"]
    kept = choose_elements(items, ambiguous="keep", max_text=300)
    assert [item.instruction for item in kept] == ["A", "a", "B", "C" * 200]
    nested = [found("A", "a"), found("A", "button", [["outer", 0]], x=1.0)]
    assert [item.element for item in choose_elements(nested)] == ["button"]
    assert choose_elements([found("A", visible=False)])[0].data_type == "icon"
    assert choose_elements([found("A")], min_size=11.0) == []
    words = [{"text": "a", "owners": [0]}, {"text": "B", "owners": []}]
    assert [item.instruction for item in choose_elements([found("A")], words)] == ["A"]
    assert choose_elements([found("b")], words) == []
