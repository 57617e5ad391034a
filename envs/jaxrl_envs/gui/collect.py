"""Collector: web pages to a ScreenSpot folder, through a headless Chromium on the machine.

    python -m jaxrl_envs.gui.collect pages/ https://example.org --out shots

Each page is opened in a viewport of fixed size; its clickable elements that can be seen there
give boxes and instructions, and a screenshot goes with them. The folder then loads with
`load_screenspot`. Elements inside frames and shadow trees are not looked for. Nothing is
downloaded, and frames do not show local files.
"""

import argparse
import base64
import contextlib
import dataclasses
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from jaxrl_envs.gui.chromium import Chromium, PageError, find_chromium
from jaxrl_envs.gui.collect_dom import SCRIPT, SELECTOR, Element, choose_elements
from jaxrl_envs.gui.screenspot import ScreenSpotRecord, ScreenSpotSet, load_screenspot
from jaxrl_envs.gui.screenspot_boxes import show
from jaxrl_envs.gui.screenspot_images import check_image_bytes, show_path
from jaxrl_envs.gui.screenspot_write import check_target, write_screenspot
from jaxrl_rewards.core.errors import InputError

__all__ = ["Page", "collect", "find_chromium", "find_pages", "main"]

PAGE_SUFFIXES = (".html", ".htm", ".xhtml")
SCHEMES = ("http", "https", "file")
CLICKS = ("click", "mousedown", "mouseup", "pointerdown", "pointerup", "touchstart", "touchend")
Call = Callable[..., dict]


@dataclasses.dataclass(frozen=True)
class Page:
    """A page to open: its URL, the name its records carry, and the name of its screenshot."""

    url: str
    name: str
    image_name: str


def find_pages(sources: str | Path | Iterable[str | Path]) -> list[Page]:
    """Return the pages of folders (searched downwards), HTML files and URLs, in a fixed order.

    Raises `InputError` for a source that is none of these, a folder without pages, or no source.
    """
    if isinstance(sources, (str, Path)):
        sources = [sources]
    found: list[tuple[str, str]] = []
    for source in sources:
        text = str(source)
        if "://" in text:
            if urlsplit(text).scheme.lower() not in SCHEMES:
                raise InputError(f"{show(text)} has an unknown scheme; use http, https or file")
            found.append((text, text))
            continue
        path = Path(source)
        if path.is_dir():
            pages = sorted(p for p in path.rglob("*") if p.suffix.lower() in PAGE_SUFFIXES)
            if not pages:
                raise InputError(f"{show_path(path)} holds no .html page; give another folder")
            found += [(p.resolve().as_uri(), p.relative_to(path).as_posix()) for p in pages]
        elif path.is_file() and path.suffix.lower() in PAGE_SUFFIXES:
            found.append((path.resolve().as_uri(), path.name))
        else:
            raise InputError(
                f"{show_path(path)} is neither a folder, an .html file nor a URL; check the name"
            )
    if not found:
        raise InputError("there are no pages to collect; give a folder, .html files or URLs")
    taken: set[str] = set()
    pages = []
    for url, name in found:
        stem = re.sub(r"^[a-z]+://", "", name)
        stem = re.sub(r"\.x?html?$", "", stem, flags=re.IGNORECASE)
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._")[:80] or "page"
        unique, number = stem, 2
        while unique.casefold() in taken:
            unique, number = f"{stem}_{number}", number + 1
        taken.add(unique.casefold())
        pages.append(Page(url, name, f"{unique}.png"))
    return pages


def collect(
    sources: str | Path | Iterable[str | Path],
    out_dir: str | Path,
    width: int = 1280,
    height: int = 800,
    *,
    device_scale: float = 1.0,
    timeout: float = 20.0,
    settle: float = 0.2,
    ambiguous: str = "drop",
    min_size: float = 4.0,
    overwrite: bool = False,
    chromium: str | None = None,
    flags: Sequence[str] = (),
    report: Callable[[str], None] | None = None,
) -> ScreenSpotSet:
    """Open each page, take its screenshot and its clickable elements, write a ScreenSpot folder.

    Args:
        sources: a folder of HTML pages, an HTML file, a URL, or a list of these.
        out_dir: the folder to create; it appears whole at the end or not at all.
        width: of the viewport, in CSS pixels.
        height: of the viewport, in CSS pixels.
        device_scale: image pixels per CSS pixel; boxes are scaled along.
        timeout: seconds for one page altogether; a page that fails or takes longer is reported
            and left out.
        settle: seconds to wait after a page has loaded, for scripts that build it.
        ambiguous: "drop" instructions that stand twice on a page (once in other text that can
            be seen, too), or "keep" them.
        min_size: smallest side of an element in CSS pixels.
        overwrite: replace an existing ScreenSpot folder.
        chromium: the browser's program; by default see `find_chromium`.
        flags: further command-line flags for it.
        report: called with one line per page.

    Returns:
        The written set, loaded again; `problems` names the pages that were left out. Records
        carry `element` (role or tag), `text_source` and `page` in `extra`.

    Raises:
        InputError: no browser, no pages, bad options, an existing folder, or no page that gave
            anything.
    """
    _check_options(width, height, device_scale, timeout, settle, ambiguous)
    check_target(Path(out_dir), overwrite)
    pages = find_pages(sources)
    program = find_chromium(chromium)
    say = report or (lambda line: None)
    shot = _Camera(program, flags, width, height, device_scale, timeout, settle)
    records: list[ScreenSpotRecord] = []
    images: dict[str, bytes] = {}
    problems: list[str] = []
    try:
        for page in pages:
            try:
                found, words, image = shot.take(page.url)
            except PageError as error:
                problems.append(f"{page.name}: {error}; the page was left out")
                say(problems[-1])
                continue
            elements = choose_elements(found, words, ambiguous=ambiguous, min_size=min_size)
            fresh = _records(page, elements, image, device_scale)
            if not fresh:
                problems.append(f"{page.name}: it shows nothing to click; the page was left out")
                say(problems[-1])
                continue
            records += fresh
            images[page.image_name] = image
            say(f"{page.name}: {len(fresh)} elements")
    finally:
        shot.close()
    if not records:
        raise InputError(f"none of the {len(pages)} pages gave an element ({problems[0]})")
    write_screenspot(out_dir, records, images, version="v1", overwrite=overwrite)
    return dataclasses.replace(load_screenspot(out_dir), problems=tuple(problems))


def _check_options(width, height, device_scale, timeout, settle, ambiguous) -> None:
    for name, value in (("width", width), ("height", height)):
        if isinstance(value, bool) or not isinstance(value, int) or not 16 <= value <= 8192:
            raise InputError(f"{name} is {show(value)}; give a whole number from 16 to 8192")
    bounds = (("device_scale", device_scale, 0.1, 8.0), ("timeout", timeout, 0.1, 3600.0))
    for name, value, low, high in (*bounds, ("settle", settle, 0.0, 600.0)):
        if not isinstance(value, (int, float)) or not low <= value <= high:
            raise InputError(f"{name} is {show(value)}; give a number from {low:g} to {high:g}")
    if ambiguous not in ("drop", "keep"):
        raise InputError(f"ambiguous is {show(ambiguous)}; use 'drop' or 'keep'")


def _records(
    page: Page, elements: list[Element], image: bytes, scale: float
) -> list[ScreenSpotRecord]:
    width, height = check_image_bytes(image)
    records = []
    for item in elements:
        x1, y1, x2, y2 = (value * scale for value in item.box)
        box = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
        if box[2] <= box[0] or box[3] <= box[1]:
            continue
        extra = {"element": item.element, "text_source": item.source, "page": page.name}
        records.append(
            ScreenSpotRecord(
                image_path=Path(page.image_name),
                image_name=page.image_name,
                instruction=item.instruction,
                box=box,
                image_size=(width, height),
                data_type=item.data_type,
                data_source="web",
                platform="web",
                extra=extra,
            )
        )
    return records


class _Camera:
    """Opens pages one after another; after a failure the next page gets a new browser."""

    def __init__(self, program, flags, width, height, device_scale, timeout, settle):
        self._program, self._flags = program, flags
        self._metrics = {
            "width": width,
            "height": height,
            "deviceScaleFactor": device_scale,
            "mobile": False,
        }
        self._timeout, self._settle = timeout, settle
        self._browser: Chromium | None = None

    def take(self, url: str) -> tuple[list[dict], list[dict], bytes]:
        """Return the script's elements and words, and the PNG of one page."""
        if self._browser is None:
            self._browser = Chromium(self._program, self._flags)
            self._browser.call("Browser.setDownloadBehavior", {"behavior": "deny"})
        try:
            return self._take(self._browser, url, time.monotonic() + self._timeout)
        except PageError:
            self.close()
            raise

    def _take(
        self, browser: Chromium, url: str, deadline: float
    ) -> tuple[list[dict], list[dict], bytes]:
        browser.events.clear()
        target = browser.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attach = {"targetId": target, "flatten": True}
        session = browser.call("Target.attachToTarget", attach)["sessionId"]

        def call(method: str, params: dict | None = None) -> dict:
            left = deadline - time.monotonic()
            return browser.call(method, params, session, max(left, 0.0))

        frame = self._open(browser, call, session, url, deadline)
        browser.wait(min(self._settle, max(0.0, deadline - time.monotonic())))
        found = _list_elements(call, frame)
        image = base64.b64decode(call("Page.captureScreenshot", {"format": "png"})["data"])
        _refuse_local_frames(call("Page.getFrameTree")["frameTree"])
        browser.call("Target.closeTarget", {"targetId": target})
        return found["elements"], found["words"], image

    def _open(self, browser: Chromium, call: Call, session: str, url: str, deadline: float) -> str:
        """Open a page and wait until it has loaded; the identity of its main frame."""
        call("Page.enable")
        call("Emulation.setDeviceMetricsOverride", self._metrics)
        call("Page.setLifecycleEventsEnabled", {"enabled": True})
        frame = call("Page.getFrameTree")["frameTree"]["frame"]
        blank = frame["loaderId"]
        browser.refuses = lambda request: _is_foreign_file(request, frame["id"])
        call("Fetch.enable", {"patterns": [{"urlPattern": "file://*"}]})
        answer = call("Page.navigate", {"url": url})
        if answer.get("errorText"):
            raise PageError(f"it does not open ({answer['errorText']})")

        def loaded(event: dict) -> bool:
            known = event["method"] == "Page.lifecycleEvent" and event.get("sessionId") == session
            params = event["params"]
            return (
                known
                and (params["name"], params["frameId"]) == ("load", frame["id"])
                and params["loaderId"] != blank
            )

        browser.wait_for(loaded, deadline, "loading")
        return frame["id"]

    def close(self) -> None:
        """End the browser, if one runs."""
        if self._browser is not None:
            self._browser.close()
            self._browser = None


def _is_foreign_file(request: dict, main_frame: str) -> bool:
    """Whether a request would show a local file that nobody asked to collect.

    That is any file in a frame of the page, and one to which the page moves that is no page.
    """
    if request["resourceType"] != "Document":
        return False
    suffix = Path(urlsplit(request["request"]["url"]).path).suffix.lower()
    return request["frameId"] != main_frame or suffix not in PAGE_SUFFIXES


def _refuse_local_frames(tree: dict) -> None:
    for child in tree.get("childFrames", ()):
        if child["frame"]["url"].startswith("file:"):
            raise PageError("one of its frames shows a local file")
        _refuse_local_frames(child)


def _list_elements(call: Call, frame: str) -> dict:
    """What the script finds in the page that is open."""
    world = call("Page.createIsolatedWorld", {"frameId": frame})["executionContextId"]
    # listeners are told for the document of the page's own world only
    document = call("Runtime.evaluate", {"expression": "document"})
    listeners = call(
        "DOMDebugger.getEventListeners",
        {"objectId": document["result"]["objectId"], "depth": -1},
    )["listeners"]
    nodes = {
        listener["backendNodeId"]
        for listener in listeners
        if listener["type"] in CLICKS and "backendNodeId" in listener
    }
    handled = []
    for node in sorted(nodes):
        with contextlib.suppress(PageError):  # it may be gone by now
            where = {"backendNodeId": node, "executionContextId": world}
            handled.append({"objectId": call("DOM.resolveNode", where)["object"]["objectId"]})
    result = call(
        "Runtime.callFunctionOn",
        {
            "functionDeclaration": SCRIPT,
            "executionContextId": world,
            "arguments": [{"value": SELECTOR}, *handled],
            "awaitPromise": True,
            "returnByValue": True,
        },
    )
    if "exceptionDetails" in result:
        raise PageError(f"its elements cannot be listed ({_exception(result)})")
    return json.loads(result["result"]["value"])


def _exception(result: dict) -> str:
    details = result["exceptionDetails"]
    text = details.get("exception", {}).get("description") or details.get("text", "")
    return " ".join(text.split())[:160]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jaxrl_envs.gui.collect",
        description="Turn web pages into a GUI grounding set in ScreenSpot format: one screenshot "
        "per page, and for each clickable element its box in pixels and an instruction.",
        epilog="example: python -m jaxrl_envs.gui.collect my_pages/ --out shots --width 390 "
        "--height 844 --device-scale 2",
    )
    add = parser.add_argument
    add("sources", nargs="+", help="folders of .html pages, .html files, or URLs")
    add("--out", required=True, metavar="FOLDER", help="the folder to create")
    add("--width", type=int, default=1280, help="viewport width, CSS pixels (default 1280)")
    add("--height", type=int, default=800, help="viewport height, CSS pixels (default 800)")
    add("--device-scale", type=float, default=1.0, help="image pixels per CSS pixel (default 1)")
    add("--timeout", type=float, default=20.0, help="seconds per page (default 20)")
    add("--settle", type=float, default=0.2, help="seconds to wait after loading (default 0.2)")
    add(
        "--ambiguous",
        choices=("drop", "keep"),
        default="drop",
        help="what to do with an instruction that stands twice on a page (default drop)",
    )
    add("--min-size", type=float, default=4.0, help="smallest side in CSS pixels (default 4)")
    add("--overwrite", action="store_true", help="replace an existing ScreenSpot folder")
    add("--chromium", metavar="PROGRAM", help="browser to use (default: CHROME_PATH, then PATH)")
    add(
        "--flag",
        action="append",
        default=[],
        metavar="FLAG",
        help="further browser flag, as --flag=--X",
    )
    add("--quiet", action="store_true", help="do not report each page")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 after one sentence on standard error."""
    options = _parser().parse_args(arguments)

    def report(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        shots = collect(
            options.sources,
            options.out,
            options.width,
            options.height,
            device_scale=options.device_scale,
            timeout=options.timeout,
            settle=options.settle,
            ambiguous=options.ambiguous,
            min_size=options.min_size,
            overwrite=options.overwrite,
            chromium=options.chromium,
            flags=options.flag,
            report=None if options.quiet else report,
        )
    except InputError as error:
        report(f"error: {error}")
        return 2
    counts = shots.summary()
    print(
        f"{options.out}: {counts['records']} elements on {counts['images']} pages, "
        f"{counts['problems']} pages left out"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
