"""The rendered book in a real browser: every page, on a desk in the light and on a phone in the dark."""

from __future__ import annotations

import functools
import http.server
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
import yaml

from .browsers import launch
from .rendered import CHECKOUT, rendered

pytestmark = [pytest.mark.site, pytest.mark.slow]

#: Each page is opened in both; so every size and every theme is looked at, and nothing twice.
WINDOWS: dict[str, dict[str, Any]] = {
    "desk": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}
TOC = yaml.safe_load((CHECKOUT / "_toc.yml").read_text())
PAGES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]

#: The steps of the workflow that publishes the book.
PUBLISHING = yaml.safe_load((CHECKOUT / ".github/workflows/pages.yml").read_text())["jobs"]["book"]["steps"]

#: What a look at the page itself tells: one line for each thing that is wrong.
LOOK = """() => [
    ...(document.documentElement.scrollWidth > window.innerWidth ? ["the page scrolls sideways"] : []),
    ...[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => `missing: ${i.src}`),
    ...[...document.images].filter(i => !i.alt).map(i => `without a text: ${i.src}`),
]"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book, built strictly."""
    return rendered(tmp_path_factory.mktemp("book")) / "html"


@pytest.fixture(scope="module")
def address(html: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=html)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launch("so nobody has looked at the pages") as chromium:
        yield chromium


@pytest.fixture(scope="module", params=WINDOWS)
def window(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    """A window for all pages; what the browser complains of since a page was opened is in ``window.complaints``."""
    context = browser.new_context(**WINDOWS[request.param], reduced_motion="reduce")
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("requestfailed", lambda failed: page.complaints.append(f"{failed.url}: {failed.failure}"))
    page.on(
        "response", lambda answer: answer.status >= 400 and page.complaints.append(f"{answer.url}: {answer.status}")
    )
    yield page
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wrong_with_a_page(window: Any, address: str, name: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    window.goto("about:blank")
    window.complaints.clear()
    window.goto(f"{address}{name}.html", wait_until="load")
    wrong = window.evaluate(LOOK)
    # The browser has fetched the style sheets already; axe would once more, and those that these import from elsewhere.
    for item in Axe().run(window, options={"preload": False}).response["violations"]:
        if item["impact"] in ("serious", "critical"):
            wrong += [f"{item['id']}, {item['help']}: {node['html'][:200]}" for node in item["nodes"]]
    wrong += window.complaints
    assert not wrong, "\n".join(wrong)


def test_search_finds_a_word(window: Any, address: str) -> None:
    window.goto(f"{address}search.html?q=busybox")
    results = window.locator("#search-results li a")
    results.first.wait_for()
    assert results.count() > 3
    results.first.click()
    window.wait_for_load_state("load")
    assert "busybox" in window.locator("main").inner_text().lower()


@pytest.mark.parametrize(
    ("name", "folded", "handle"),
    [
        ("notebooks/06-containers", ".admonition.dropdown", ".admonition-title"),
        ("notebooks/02-sources", "details.hide", "summary"),
        ("notebooks/14-musl-and-glibc", "details.hide.above-input", "summary"),
    ],
    ids=["an answer", "an output", "a program"],
)
def test_what_is_folded_can_be_opened(window: Any, address: str, name: str, folded: str, handle: str) -> None:
    window.goto(f"{address}{name}.html", wait_until="load")
    fold = window.locator(folded).first
    hidden = fold.locator(":scope > :last-child")
    assert not hidden.is_visible()
    fold.locator(handle).first.click()
    hidden.wait_for(state="visible")


def test_from_each_page_one_can_go_on_and_back(window: Any, address: str) -> None:
    window.goto(f"{address}{PAGES[0]}.html")
    for name in PAGES[1:]:
        window.locator("a.right-next").click()
        window.wait_for_url(f"**/{name}.html", wait_until="commit")
    for name in PAGES[-2::-1]:
        window.locator("a.left-prev").click()
        window.wait_for_url(f"**/{name}.html", wait_until="commit")


def test_links_lead_somewhere(html: Path) -> None:
    texts = {path: path.read_text() for path in html.rglob("*.html")}
    names = {path: set(map(unescape, re.findall(r'\sid="([^"]+)"', text))) for path, text in texts.items()}
    broken = []
    for path, text in texts.items():
        for link in set(re.findall(r'<a\b[^>]*?\shref="([^"]+)"', text)):
            target, fragment = urldefrag(urljoin(f"file://{path}", unescape(link)))
            if urlsplit(target).scheme != "file":
                continue
            file = Path(unquote(urlsplit(target).path))
            if not file.exists() or (fragment and file in names and unquote(fragment) not in names[file]):
                broken.append(f"{path.relative_to(html)}: {link}")
    assert broken == []


def test_pages_and_ebook_are_rendered_apart() -> None:
    """Else the second of them would use what Sphinx has kept from the first."""
    commands = [step["run"] for step in PUBLISHING if step.get("run", "").startswith("jupyter-book build")]
    folders = [re.findall(r"--path-output (\S+)", command) for command in commands]
    assert len(folders) == 2 and folders[0] != folders[1]


def test_where_the_pages_are_published_a_link_leads_to_the_ebook(html: Path, tmp_path: Path) -> None:
    """What the workflow does to the pages, done to a copy of them."""
    (step,) = [step for step in PUBLISHING if step.get("name") == "Link the e-book"]
    pages = tmp_path / "_build/html"
    shutil.copytree(html, pages)
    ebook = tmp_path / "elsewhere/_build/epub/mere-linux-from-source.epub"
    ebook.parent.mkdir(parents=True)
    ebook.touch()
    environment = os.environ | {"RUNNER_TEMP": str(tmp_path / "elsewhere")}
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    page = pages / "book/run-it.html"
    links = re.findall(r'<a href="([^"]*)">mere-linux-from-source\.epub</a>', page.read_text())
    assert links and {(page.parent / link).resolve() for link in links} == {pages / ebook.name}
    assert (pages / ebook.name).is_file()


def test_nothing_is_fetched_from_elsewhere(html: Path) -> None:
    """A book that one can read without a network, and that tells nobody who reads it."""
    foreign = {
        f"{path.relative_to(html)}: {address}"
        for path in html.rglob("*.html")
        for address in re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', path.read_text())
    }
    assert foreign == set()
