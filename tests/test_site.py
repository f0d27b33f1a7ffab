"""The rendered book in a real browser: every page, on a desk and on a phone."""

from __future__ import annotations

import functools
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
import yaml

from mere_helpers.config import load_config

from .browsers import launch

pytestmark = [pytest.mark.site, pytest.mark.slow]

CHECKOUT = load_config().checkout
WIDTHS = (1280, 390)
TOC = yaml.safe_load((CHECKOUT / "_toc.yml").read_text())
PAGES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book, built strictly."""
    room = tmp_path_factory.mktemp("book")
    command = ["jupyter-book", "build", CHECKOUT, "--path-output", room, "-n", "-W", "--keep-going"]
    built = subprocess.run(
        [Path(sys.executable).with_name(command[0]), *command[1:]], capture_output=True, text=True, cwd=CHECKOUT
    )
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    assert "WARNING" not in built.stdout + built.stderr
    return room / "_build/html"


@pytest.fixture(scope="module")
def address(html: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=html)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with launch("so nobody has looked at the pages") as chromium:
        yield chromium


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser) -> Iterator:
    context = browser.new_context(viewport={"width": request.param, "height": 900})
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
def test_a_page_opens_without_a_complaint(page, address: str, name: str) -> None:
    page.goto(f"{address}{name}.html", wait_until="load")
    page.wait_for_timeout(300)
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "the page scrolls sideways"
    broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
    assert page.evaluate(broken) == []
    assert page.evaluate("[...document.images].filter(i => !i.hasAttribute('alt')).map(i => i.src)") == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible(page, address: str, name: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.goto(f"{address}{name}.html", wait_until="load")
    found = Axe().run(page).response["violations"]
    serious = [
        f"{item['id']}: {item['help']}: {item['nodes'][0]['html'][:200]}"
        for item in found
        if item["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_search_finds_a_word(page, address: str) -> None:
    page.goto(f"{address}search.html?q=busybox")
    page.wait_for_selector("#search-results li a")
    assert page.locator("#search-results li").count() > 3


def test_what_is_folded_can_be_opened(page, address: str) -> None:
    page.goto(f"{address}notebooks/06-containers.html")
    answer = page.locator(".admonition.dropdown, details").first
    answer.scroll_into_view_if_needed()
    hidden = answer.locator("p, .highlight").last
    assert not hidden.is_visible()
    answer.locator("summary, button, .admonition-title").first.click()
    hidden.wait_for(state="visible")


def test_from_each_page_one_can_go_on(page, address: str) -> None:
    page.goto(f"{address}{PAGES[0]}.html")
    for name in PAGES[1:]:
        page.locator("a.right-next").click()
        page.wait_for_load_state("load")
        assert page.url.endswith(f"{name}.html")


def test_links_lead_somewhere(html: Path) -> None:
    broken = []
    names = {path: set(re.findall(r'\sid="([^"]+)"', path.read_text())) for path in html.rglob("*.html")}
    for path in names:
        for link in re.findall(r'<a[^>]+href="([^"]+)"', path.read_text()):
            target, fragment = urldefrag(urljoin(f"file://{path}", link.replace("&amp;", "&")))
            if urlsplit(target).scheme != "file":
                continue
            file = Path(unquote(urlsplit(target).path))
            if not file.exists() or (fragment and file in names and unquote(fragment) not in names[file]):
                broken.append(f"{path.relative_to(html)}: {link}")
    assert broken == []


def test_nothing_is_fetched_from_elsewhere(html: Path) -> None:
    """A book that one can read without a network, and that tells nobody who reads it."""
    foreign = {
        f"{path.relative_to(html)}: {address}"
        for path in html.rglob("*.html")
        for address in re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', path.read_text())
    }
    assert foreign == set()
