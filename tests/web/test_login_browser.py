"""Login and its neighbors in a real browser, which says by itself where a form comes from.

Screenshots go to tests/.screenshots, for a person to look at.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tenantry.core.model import TokenPurpose
from tenantry.flows.accounts.links import send_link
from tenantry.flows.rows import locked_customer
from tests.system.world import PASSWORD
from tests.web.test_account_browser import LOOKS, assert_readable, served
from tests.web.test_login import ANOTHER, mailed
from tests.web.visitor import Visitor


@pytest.mark.parametrize("is_scripted", [True, False])
def test_login_account_logout(visitor: Visitor, browser: Browser, is_scripted: bool) -> None:
    with served(visitor.world, browser, java_script_enabled=is_scripted) as page:
        page.goto("/account")
        page.get_by_label("Email").fill(visitor.signed_up.email)
        page.get_by_label("Password", exact=True).fill("WrongPass123")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("The email or the password is wrong")
        expect(page.get_by_label("Email")).to_have_value(visitor.signed_up.email)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page).to_have_title(f"Your account – {visitor.signed_up.company_name}")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
        page.goto("/account")
        expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


def test_another_password_by_mail(visitor: Visitor, browser: Browser) -> None:
    with served(visitor.world, browser, java_script_enabled=False) as page:
        page.goto("/reset")
        page.get_by_label("Email").fill(visitor.signed_up.email)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Look into your mail")
        page.goto(f"/reset/{mailed(visitor.world, visitor.signed_up, 'reset')}")
        page.get_by_label("New password").fill(ANOTHER)
        page.keyboard.press("Enter")
        expect(page).to_have_title(f"Your account – {visitor.signed_up.company_name}")


def test_passwords_can_be_looked_at(visitor: Visitor, browser: Browser) -> None:
    world, customer = visitor.world, visitor.signed_up
    with world.service.database.write() as session:
        locked_customer(session, customer.customer_id)
        send_link(
            world.service, session, customer.customer_id, TokenPurpose.RESET, now=world.clock()
        )
    with served(world, browser) as page:
        for path in ("/login", f"/reset/{mailed(world, customer, 'reset')}"):
            page.goto(path)
            password = page.locator("#password")
            page.get_by_role("button", name="Show password").click()
            expect(password).to_have_attribute("type", "text")
            page.get_by_role("button", name="Hide password").click()
            expect(password).to_have_attribute("type", "password")


def test_pages_fit_and_can_be_read(visitor: Visitor, browser: Browser) -> None:
    world, customer = visitor.world, visitor.signed_up
    with world.service.database.write() as session:
        locked_customer(session, customer.customer_id)
        for purpose in TokenPurpose:
            send_link(world.service, session, customer.customer_id, purpose, now=world.clock())
    paths = {
        "login": "/login",
        "reset": "/reset",
        "reset-password": f"/reset/{mailed(world, customer, 'reset')}",
        "confirm": f"/confirm/{mailed(world, customer, 'confirm')}",
    }
    with served(visitor.world, browser, java_script_enabled=False) as page:
        for name, path in paths.items():
            page.goto(path)
            for size, scheme in LOOKS:
                page.set_viewport_size(size)
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                assert_readable(page, size, f"{name}-{size['width']}-{scheme}")
