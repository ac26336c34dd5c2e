"""The pages in a real browser: what a customer does, sees and waits for (R7, R45).

Screenshots go to tests/.screenshots, for a person to look at.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize, expect
from werkzeug.serving import WSGIRequestHandler, make_server

from tenantry.core.model import SETTLED, Status
from tenantry.core.reasons import tell_customer
from tests.web.stage import Stage

expect.set_options(timeout=20_000)  # milliseconds; a busy machine is slow, not wrong

SCREENSHOTS = Path(__file__).parent.parent / ".screenshots"
PHONE = ViewportSize(width=360, height=740)
DESK = ViewportSize(width=1280, height=800)
WIDTHS = pytest.mark.parametrize("size", [PHONE, DESK], ids=["360", "1280"])
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])

# Contrast of every text with what lies behind it, by WCAG's formula; the worst ones.
CONTRASTS = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    const text = [...e.childNodes].filter((n) => n.nodeType === 3 && n.data.trim());
    if (!text.length || !e.checkVisibility() || e.closest(".hidden")) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${e.tagName}.${e.className}: ${text[0].data}`);
  }
  return poor;
}"""


class QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
        """Says nothing: a path may hold a status token."""


@dataclass
class Site:
    """A server with its stage, and a browser in front of it."""

    stage: Stage
    url: str
    browser: Browser
    complaints: list[str] = field(default_factory=list)

    @contextmanager
    def page(self, size: ViewportSize = DESK, **options: object) -> Iterator[Page]:
        context = self.browser.new_context(
            viewport=size,
            base_url=self.url,
            locale="en-US",
            timezone_id="America/New_York",
            **options,  # type: ignore[arg-type]
        )
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        yield page
        context.close()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} {message.location}")


@pytest.fixture
def site(stage: Stage, browser: Browser) -> Iterator[Site]:
    server = make_server("127.0.0.1", 0, stage.app, threaded=True, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    site = Site(stage, f"http://127.0.0.1:{server.server_port}", browser)
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


def shoot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    (SCREENSHOTS / ".gitignore").write_text("*\n")
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def sign_up(page: Page, email: str = "test@example.com") -> None:
    page.goto("/")
    page.get_by_label("Work email").fill(email)
    page.get_by_label("Company name").fill("Test Corp")
    page.get_by_label("Password", exact=True).fill("SecurePass123")
    page.get_by_role("button", name="Create my instance").click()


def test_a_customer_signs_up_and_watches_it_become_ready(site: Site) -> None:
    with site.page() as page:
        sign_up(page)
        expect(page).to_have_url(f"{site.url}/status/{next(iter(site.stage.views))}")
        expect(page).to_have_title("Setting up – Test Corp")
        assert site.stage.requests[0].time_zone == "America/New_York"
        (token,) = site.stage.views
        expect(page.locator("[aria-current=step]")).to_contain_text("Configuration committed")
        page.evaluate("document.querySelector('h1').mark = 'the same element'")
        site.stage.advance(token, 4, status=Status.PROVISIONING, reason="Being installed.")
        expect(page.locator("[aria-current=step]")).to_contain_text("All parts healthy")
        expect(page.locator("[aria-live=polite]")).to_contain_text("Being installed.")
        expect(page.get_by_role("link", name="Open Acme Monitor")).to_be_hidden()
        view = site.stage.make_ready(token)
        link = page.get_by_role("link", name="Open Acme Monitor")
        expect(link).to_be_visible()
        expect(link).to_have_attribute("href", view.instance_url)
        expect(page).to_have_title("Ready – Test Corp")
        expect(page.locator("li.done")).to_have_count(6)
        assert page.evaluate("document.querySelector('h1').mark") == "the same element"
    assert not site.complaints


def test_it_works_without_javascript(site: Site) -> None:
    with site.page(java_script_enabled=False) as page:
        sign_up(page)
        expect(page).to_have_title("Setting up – Test Corp")
        (token,) = site.stage.views
        assert site.stage.requests[0].time_zone == "UTC"
        site.stage.make_ready(token)
        expect(page).to_have_title("Ready – Test Corp")  # by the page's own refresh
        expect(page.get_by_role("link", name="Open Acme Monitor")).to_be_visible()
    assert not site.complaints


@WIDTHS
def test_a_fault_is_shown_at_its_field(site: Site, size: ViewportSize) -> None:
    with site.page(size) as page:
        sign_up(page)
        page.wait_for_url("**/status/*")
        sign_up(page, "Test@Example.com")
        email = page.get_by_label("Work email")
        expect(email).to_have_attribute("aria-invalid", "true")
        expect(email).to_be_focused()
        expect(email).to_have_value("Test@Example.com")
        expect(email).to_have_accessible_description(
            "An account with this email already exists. "
            "Log in, set another password, or use another address."
        )
        for name, path in (("Log in", "/login"), ("set another password", "/reset")):
            link = page.get_by_role("alert").get_by_role("link", name=name)
            expect(link).to_have_attribute("href", path)
        expect(page.get_by_label("Password", exact=True)).to_have_value("")
        shoot(page, f"signup-taken-{size['width']}")
    assert all("409" in each for each in site.complaints)  # the browser's own word for the status


def test_back_from_a_signup_that_was_refused_once_sends_nothing(site: Site) -> None:
    with site.page() as page:
        sign_up(page)
        page.wait_for_url("**/status/*")
        sign_up(page)
        expect(page.get_by_role("alert")).to_contain_text("already exists")
        expect(page).to_have_url(f"{site.url}/")
        page.get_by_label("Work email").fill("another@example.com")
        page.get_by_label("Password", exact=True).fill("SecurePass123")
        page.get_by_role("button", name="Create my instance").click()
        page.wait_for_url("**/status/*")
        page.go_back()
        expect(page.get_by_role("heading", level=2)).to_have_text("Start your trial")
        expect(page.get_by_role("alert")).to_have_count(0)
    assert all("409" in each for each in site.complaints)


def test_the_browser_itself_refuses_what_it_can(site: Site) -> None:
    with site.page() as page:
        page.goto("/")
        page.get_by_label("Work email").fill("nope")
        page.get_by_role("button", name="Create my instance").click()
        assert page.evaluate("document.querySelectorAll(':invalid').length") > 0
        assert page.url == f"{site.url}/"
    assert not site.stage.requests


def test_the_password_can_be_looked_at(site: Site) -> None:
    with site.page() as page:
        page.goto("/")
        password = page.get_by_label("Password", exact=True)
        password.fill("SecurePass123")
        page.get_by_role("button", name="Show password").click()
        expect(password).to_have_attribute("type", "text")
        page.get_by_role("button", name="Hide password").click()
        expect(password).to_have_attribute("type", "password")


def test_everything_can_be_done_by_keyboard(site: Site) -> None:
    with site.page() as page:
        page.goto("/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
        for _ in range(3):
            page.keyboard.press("Tab")
        for text in ("test@example.com", "Test Corp", "Ada Lovelace", "SecurePass123"):
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            page.keyboard.type(text)
            page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Show password")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/status/*")
        site.stage.make_ready(next(iter(site.stage.views)))
        link = page.get_by_role("link", name="Open Acme Monitor")
        expect(link).to_be_visible()
        for _ in range(4):
            page.keyboard.press("Tab")
        expect(link).to_be_focused()


def test_a_lost_connection_is_told_and_recovered_from(site: Site) -> None:
    with site.page() as page:
        token = site.stage.add_customer()
        page.goto(f"/status/{token}")
        page.context.set_offline(True)
        expect(page.locator("#offline")).to_contain_text("connection was lost")
        site.stage.make_ready(token)
        page.context.set_offline(False)
        expect(page).to_have_title("Ready – Test Corp")
        expect(page.locator("#offline")).to_be_empty()


def test_times_are_the_readers(site: Site) -> None:
    with site.page() as page:
        token = site.stage.add_customer()
        page.goto(f"/status/{token}")
        clock = page.locator("time[data-format=clock]").first
        expect(clock).not_to_contain_text("UTC")


@SCHEMES
@WIDTHS
def test_every_page_fits_and_can_be_read(site: Site, size: ViewportSize, scheme: str) -> None:
    long = (
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft 🚀 شركة"
    )
    moving, ready, failed = (site.stage.add_customer(n) for n in ("Test Corp", long, "Test Corp"))
    site.stage.advance(moving, 3, status=Status.PROVISIONING, reason="Being installed.")
    site.stage.make_ready(ready)
    site.stage.fail(failed, "A part of your instance does not start. We are looking into it.")
    pages = {
        "signup": "/", "moving": f"/status/{moving}", "ready": f"/status/{ready}",
        "failed": f"/status/{failed}", "docs": "/api/docs",
    }  # fmt: skip
    with site.page(size, color_scheme=scheme, reduced_motion="reduce") as page:
        for name, path in pages.items():
            page.goto(path)
            shoot(page, f"{name}-{size['width']}-{scheme}")
            assert page.evaluate("document.documentElement.scrollWidth") == size["width"], name
            assert page.evaluate(CONTRASTS) == [], name
    assert not site.complaints


@WIDTHS
def test_the_page_can_be_read_in_every_status(site: Site, size: ViewportSize) -> None:
    token = site.stage.add_customer()
    view = site.stage.advance(token, 4)
    with site.page(size, reduced_motion="reduce") as page:
        for status in Status:
            site.stage.views[token] = replace(
                view,
                status=status,
                reason=tell_customer("unhealthy", status),
                settled=status in SETTLED,
                late=status == Status.PROVISIONING,
                unknown_since=site.stage.now if status == Status.DEGRADED else None,
                flaps=3 if status == Status.DEGRADED else 0,
            )
            page.goto(f"/status/{token}")
            shoot(page, f"status-{status}-{size['width']}")
            assert page.evaluate("document.documentElement.scrollWidth") == size["width"], status
            assert page.evaluate(CONTRASTS) == [], status
    assert not site.complaints
