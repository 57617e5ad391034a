"""What the site's build adds: formulas as MathML, files from outside the pages, checked links.

Formulas stand as `$...$` and `$$...$$` in the pages and become MathML here, so that reading the
site needs no script and no network. A relative link to a file of the repository outside
`docs/pages` (a picture of the results, a launch file, a notebook) becomes a copy of that file.
"""

from __future__ import annotations

import html
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

REPOSITORY = Path(__file__).resolve().parent.parent
COPIES = "repository"
"""Folder of the site with the copied files."""
LINK = re.compile(r"(\]\()((?:\.\./)+[^)#\s]+)((?:#[^)\s]*)?\))")
FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\s*(?:\\\(|\\\[)(.*?)(?:\\\)|\\\])\s*</\1>', re.DOTALL
)
TABLE_MARK = re.compile(r"<!-- /?table:[^>]*-->\n?")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links that leave the pages lead to copies; the marks of generated tables vanish."""

    def local(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        source = Path(page.file.abs_src_path).parent / target
        path = Path(os.path.normpath(source))
        if path.is_relative_to(config.docs_dir) or not path.is_relative_to(REPOSITORY):
            return match.group(0)
        if not path.is_file():
            raise PluginError(f"{page.file.src_uri} links to {target}, which does not exist")
        uri = f"{COPIES}/{path.relative_to(REPOSITORY).as_posix().replace('.md', '.txt')}"
        if files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, abs_src_path=str(path)))
        link = posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or ".")
        return f"{before}{link}{after}"

    return LINK.sub(local, TABLE_MARK.sub("", markdown))


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """Every formula as MathML; an unreadable one ends the build and is named."""

    def formula(match: re.Match[str]) -> str:
        kind, source = match.groups()
        display = "block" if kind == "div" else "inline"
        try:
            return convert(html.unescape(source).strip(), display=display)
        except Exception as error:
            raise PluginError(f"{page.file.src_uri}: unreadable formula {source!r}") from error

    return FORMULA.sub(formula, content)
