"""The customer's page in a real browser, in each stage of a subscription.

Screenshots go to tests/.screenshots, for a person to look at.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, expect
from werkzeug.serving import make_server

from tenantry.adapters.database.tables import Tenant
from tenantry.core.model import Status
from tenantry.core.subscription import Stage
from tenantry.flows.status import report
from tenantry.web.app import create_app
from tests.system.world import World
from tests.web.test_browser import (
    CONTRASTS,
    DESK,
    PHONE,
    QuietHandler,
    shoot,
)
from tests.web.visitor import COOKIE, ZONE, Visitor, bring_to, new_visitor

LOOKS: tuple[tuple[ViewportSize, Literal["light", "dark"]], ...] = (
    (PHONE, "dark"),
    (DESK, "light"),
)
RUNS = {Stage.READ_ONLY: Status.READ_ONLY, Stage.SUSPENDED: Status.SUSPENDED}


@contextmanager
def served(world: World, browser: Browser, **options: object) -> Iterator[Page]:
    """A page of the world's, which has nothing to complain about."""
    app = create_app(world.service)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    context = browser.new_context(base_url=url, viewport=DESK, **options)  # type: ignore[arg-type]
    page, complaints = context.new_page(), list[str]()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        yield page
    finally:
        context.close()
        server.shutdown()
        thread.join()
        server.server_close()
    assert all("400" in each for each in complaints)  # the browser's own word for a fault


def enter(page: Page, visitor: Visitor) -> None:
    """Log in, and see the account."""
    page.goto("/login")
    cookie = {"name": COOKIE, "value": visitor.log_in(), "url": page.url}
    page.context.add_cookies([cookie])  # type: ignore[list-item]
    page.goto("/account")


def run_as(visitor: Visitor, *statuses: Status) -> None:
    """What runs follows what was asked for."""
    now = visitor.world.clock()
    with visitor.world.service.database.write() as session:
        tenant = session.get_one(Tenant, visitor.customer_id)
        for status in statuses:
            report(session, tenant, status, status.value, detail="", now=now)


def test_every_stage_fits_and_can_be_read(world: World, browser: Browser) -> None:
    with served(world, browser) as page:
        for stage in Stage:
            visitor = new_visitor(world, company_name="Ünïcorn & Söhne <Devices>")
            bring_to(visitor, stage)
            run_as(visitor, Status.PROVISIONING, RUNS.get(stage, Status.READY))
            enter(page, visitor)
            for size, scheme in LOOKS:
                page.set_viewport_size(size)
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                assert_readable(page, size, f"account-{stage}-{size['width']}-{scheme}")
            page.context.clear_cookies()


def assert_readable(page: Page, size: ViewportSize, name: str) -> None:
    shoot(page, name)
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"], name
    assert page.evaluate(CONTRASTS) == [], name


def test_cancelling_and_keeping_needs_no_javascript(visitor: Visitor, browser: Browser) -> None:
    with served(visitor.world, browser, java_script_enabled=False) as page:
        enter(page, visitor)
        page.get_by_role("link", name="Cancel…").click()
        shoot(page, "account-cancel-1280")
        expect(page.get_by_role("listitem").first).to_contain_text("until the end of 7 December")
        page.get_by_role("button", name="Cancel the subscription").click()
        expect(page.get_by_role("status")).to_have_text("Your subscription is cancelled.")
        page.get_by_role("button", name="Keep it").click()
        expect(page.get_by_role("status")).to_have_text("Your subscription goes on.")
    assert visitor.subscription().status == Stage.TRIALING


def test_the_time_zone_is_changed_by_keyboard(visitor: Visitor, browser: Browser) -> None:
    with served(visitor.world, browser) as page:
        enter(page, visitor)
        field = page.get_by_label("Where your days end")
        expect(field).to_have_value(ZONE)
        field.evaluate("select => select.append(new Option('Atlantis', 'Atlantis', true, true))")
        page.get_by_role("button", name="Save").click()
        expect(field).to_be_focused()
        expect(field).to_have_accessible_description(
            "Unknown time zone; give an IANA name such as Europe/Berlin "
            "Your trial and your plan end at midnight there."
        )
        expect(field).to_have_value(ZONE)
        page.keyboard.type("Asia/Tok")
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Save")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_have_text("Your time zone is saved.")
        expect(field).to_have_value("Asia/Tokyo")
        page.reload()
        expect(page.get_by_role("status")).to_have_count(0)


def test_a_long_name_leaves_room_and_can_be_read(world: World, browser: Browser) -> None:
    name = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft "
    visitor = new_visitor(world, company_name=(name * 3)[:200])
    with served(world, browser) as page:
        enter(page, visitor)
        for size, scheme in LOOKS:
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert_readable(page, size, f"account-long-{size['width']}-{scheme}")
            heading = page.get_by_role("heading", level=1).evaluate("each => each.clientHeight")
            assert heading < 180
        shown = page.get_by_role("definition").filter(has_text=visitor.signed_up.company_name)
        expect(shown).to_be_visible()
