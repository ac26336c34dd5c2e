"""The stand-in's page for payments, as the demo has it: from the account's links to paid, in a real
browser; and what it refuses.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select
from werkzeug.serving import make_server

from tenantry import assets
from tenantry.adapters.database.tables import BillingEvent
from tenantry.adapters.product_folder import read_mail_templates, read_product_folder
from tenantry.cli.demo.product import serve_product
from tenantry.cli.demo.stack import Stack, prepare, settings_of
from tenantry.cli.devcluster import cluster
from tenantry.core.errors import ProductError, SettingsError
from tenantry.core.subscription import Stage
from tenantry.devcluster import paymentpage
from tenantry.devcluster.paymentpage import PaymentPage
from tenantry.web.app import create_app
from tests.ports import free_port_and_next
from tests.system.world import World, make_world
from tests.web.test_account_browser import enter
from tests.web.test_browser import CONTRASTS, DESK, PHONE, QuietHandler, shoot
from tests.web.visitor import Visitor, new_visitor

SECRET = "secret of the demo's billing"
HOST = "localhost:3101"
HERE = {"Host": HOST, "Origin": f"http://{HOST}"}
CUSTOMER = "cust-abc123"


@dataclass
class Street:
    """The service, and the stand-in beside it, as in the demo."""

    stack: Stack
    world: World
    stand_in: Flask


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    folder = tmp_path_factory.mktemp("street")
    stack = Stack(folder, free_port_and_next(), assets.path("tenant_templates"))
    stack.keys.mkdir()
    stack.billing_secret.write_text(f"{SECRET}\n")
    serve_product(stack.product, stack.served_product, stand_in_url=stack.stand_in_url)
    world = make_world(
        folder,
        f"sqlite:///{folder}/tenantry.db",
        product_dir=stack.served_product,
        billing_secret_file=stack.billing_secret,
        billing_scheme="hmac",
    )
    stand_in = Flask(__name__, static_folder=None)
    page = PaymentPage(world.service.product, stack.provider)
    stand_in.register_blueprint(page.blueprint())
    yield Street(stack, world, stand_in)
    world.service.database.close()


@pytest.fixture
def visitor(street: Street, monkeypatch: pytest.MonkeyPatch) -> Visitor:
    monkeypatch.setattr(paymentpage, "now", street.world.clock)
    return new_visitor(street.world)


@pytest.fixture
def client(street: Street) -> FlaskClient:
    return street.stand_in.test_client()


@contextmanager
def served(app: Flask, port: int) -> Iterator[None]:
    server = make_server("localhost", port, app, threaded=True, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def page(street: Street, browser: Browser) -> Iterator[Page]:
    service, port = create_app(street.world.service), street.stack.port
    with served(service, port), served(street.stand_in, port + 1):
        context = browser.new_context(base_url=street.stack.signup_url, viewport=DESK)
        yield context.new_page()
        context.close()


def test_customer_pays_declines_and_ends_it_in_a_browser(visitor: Visitor, page: Page) -> None:
    enter(page, visitor)
    page.get_by_role("link", name="Upgrade Professional").click()
    expect(page.get_by_role("note")).to_contain_text("Development stand-in")
    expect(page.get_by_role("main")).to_contain_text("price_professional_monthly")
    assert page.evaluate(CONTRASTS) == []
    shoot(page, "payment")
    press(page, "Pay for a month")
    expect(page.get_by_role("heading", name="Professional", exact=True)).to_be_visible()
    assert visitor.subscription().status == Stage.ACTIVE
    page.get_by_role("link", name="Upgrade Enterprise").click()  # who pays is led to the portal
    expect(page.locator("article")).to_have_count(4)
    portal = page.url.partition("?")[0]
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert page.evaluate(CONTRASTS) == []
    shoot(page, "payments")
    visitor.world.wait()
    press(page, "Decline the payment", within="#enterprise")
    declined = visitor.subscription()
    assert (declined.status, declined.plan) == (Stage.PAST_DUE, "professional")
    for button, stage in (("End the payments", "CANCELLED"), ("Go on with them", "PAST_DUE")):
        page.goto(f"{portal}?client_reference_id={visitor.customer_id}")
        visitor.world.wait()
        press(page, button)
        assert visitor.subscription().status == Stage[stage]


def test_button_that_is_pressed_twice_is_pressed_once(
    street: Street, visitor: Visitor, client: FlaskClient
) -> None:
    with served(create_app(street.world.service), street.stack.port):
        form = fill_in(client, visitor.customer_id)
        for _ in range(2):
            assert client.post("/payments/starter/pay", data=form, headers=HERE).status_code == 303
            street.world.wait()
        assert [kind for _, kind in told(visitor)] == ["paid"]
        client.post("/payments/starter/decline", data=form, headers=HERE)
        client.post("/payments/professional/pay", data=form, headers=HERE)
        again = fill_in(client, visitor.customer_id)
        client.post("/payments/professional/pay", data=again, headers=HERE)
    messages, kinds = zip(*told(visitor), strict=True)
    assert kinds == ("paid", "payment_failed", "paid", "paid")
    assert len(set(messages)) == len(messages)


def fill_in(client: FlaskClient, customer_id: str) -> dict[str, str]:
    """What a button of the page sends."""
    page = client.get("/payments", query_string={"client_reference_id": customer_id})
    shown = re.search(r'name="showing" value="(\w+)"', page.text)
    assert shown
    return {"customer_id": customer_id, "showing": shown[1]}


def told(visitor: Visitor) -> list[tuple[str, str]]:
    """Message and kind of each event, in the order of arrival."""
    mine = select(BillingEvent.external_id).where(BillingEvent.customer_id == visitor.customer_id)
    with visitor.world.service.database.read() as session:
        ids = session.scalars(mine.order_by(BillingEvent.id)).all()
    return [(message, kind) for message, _, kind in (each.rpartition("/") for each in ids)]


def press(page: Page, button: str, *, within: str = "main") -> None:
    """And be back at the account."""
    page.locator(within).get_by_role("button", name=button).click()
    page.wait_for_url("**/account")


def test_only_links_to_a_payment_provider_lead_elsewhere(street: Street) -> None:
    vendors = read_product_folder(street.stack.product)
    ours = read_product_folder(street.stack.served_product)
    assert ours.platform == vendors.platform
    assert ours.templates.files == vendors.templates.files
    mails = read_mail_templates(street.stack.product)
    assert read_mail_templates(street.stack.served_product) == mails
    place = urlsplit(street.stack.stand_in_url)
    for name, plan in ours.product.plans.items():
        assert urlsplit(plan.payment_link)[:2] == place[:2]
        link = vendors.product.plans[name].payment_link
        assert plan.model_copy(update={"payment_link": link}) == vendors.product.plans[name]
    left = {"plans", "paid"}
    assert ours.product.model_dump(exclude=left) == vendors.product.model_dump(exclude=left)


def test_product_without_payment_links_gets_none(tmp_path: Path) -> None:
    inkwell = Path(__file__).parents[2] / "examples" / "inkwell"
    for _ in range(2):  # as in a second demo
        serve_product(inkwell, tmp_path / "product", stand_in_url=f"http://{HOST}")
    found = read_product_folder(tmp_path / "product").product
    assert found == read_product_folder(inkwell).product


def test_product_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "product.yaml").write_text("name: [")
    with pytest.raises(ProductError, match=r"product\.yaml"):
        serve_product(tmp_path, tmp_path / "product", stand_in_url=f"http://{HOST}")


@pytest.mark.parametrize("vendors", ["product", "vendors"])
def test_folder_that_the_demo_has_not_made_is_left_alone(tmp_path: Path, vendors: str) -> None:
    for name in {"product", vendors}:
        shutil.copytree(assets.path("tenant_templates"), tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SettingsError, match="is not the demo's") as refused:
        serve_product(tmp_path / vendors, tmp_path / "product", stand_in_url=f"http://{HOST}")
    assert refused.value.remedy == "choose another folder with --data"
    assert sorted(tmp_path.rglob("*")) == before


def test_product_that_the_demo_made_is_no_vendors(tmp_path: Path) -> None:
    made = tmp_path / "made"
    serve_product(assets.path("tenant_templates"), made, stand_in_url=f"http://{HOST}")
    with pytest.raises(SettingsError, match="is not the demo's"):
        serve_product(made, made, stand_in_url=f"http://{HOST}")
    serve_product(made, tmp_path / "again", stand_in_url=f"http://{HOST}")
    read_product_folder(made)
    read_product_folder(tmp_path / "again")


def test_vendors_product_beside_the_demos_data_stays(tmp_path: Path) -> None:
    vendors = shutil.copytree(assets.path("tenant_templates"), tmp_path / "product")
    stack = Stack(tmp_path, 3100, vendors)
    serve_product(stack.product, stack.served_product, stand_in_url=stack.stand_in_url)
    assert not vendors.joinpath("product.yaml").is_symlink()
    assert read_product_folder(vendors).product.paid.portal


def test_shell_of_the_demo_has_the_vendors_product_as_it_is_by_then(tmp_path: Path) -> None:
    vendors = shutil.copytree(assets.path("tenant_templates"), tmp_path / "vendors")
    stack = Stack(tmp_path / "demo", 3100, vendors)
    prepare(stack)
    (vendors / "platform" / "v1").rename(vendors / "platform" / "v2")
    product = vendors / "product.yaml"
    product.write_text(product.read_text().replace("platform: v1", "platform: v2"))
    typed = f". {shlex.quote(str(stack.environment))}; tenantry platform list --json"
    asked = subprocess.run(["sh", "-c", typed], capture_output=True, text=True, check=True)
    [cell] = json.loads(asked.stdout)["cells"]
    assert [each["version"] for each in cell["versions"]] == ["v2"]


@pytest.mark.parametrize(("days", "seconds"), [(0, 60), (2, 60 + 60 * 2 * 86_400)])
def test_silence_is_as_long_in_real_seconds_when_time_flies(days: float, seconds: float) -> None:
    stack = Stack(Path("demo"), 3100, Path("vendors"), days_a_second=days)
    assert settings_of(stack)["watch_silence"] == seconds


@pytest.mark.parametrize("showing", ["", "1", "0123456789abcdeF"])
def test_press_of_no_page_that_was_shown_is_refused(client: FlaskClient, showing: str) -> None:
    data = {"customer_id": CUSTOMER, "showing": showing}
    answer = client.post("/payments/starter/pay", data=data, headers=HERE)
    assert answer.status_code == 400
    assert "Which press?" in answer.text


@pytest.mark.parametrize("customer", ["", "cust-", "cust-1/../x", "CUST-1", "<b>"])
def test_link_without_a_customer_is_refused(client: FlaskClient, customer: str) -> None:
    query = {"client_reference_id": customer}
    assert client.get("/payments", query_string=query).status_code == 400
    pressed = client.post("/payments/starter/pay", data={"customer_id": customer}, headers=HERE)
    assert pressed.status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": HOST},
        {"Host": HOST, "Origin": "http://evil.example"},
        HERE | {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_button_is_pressed_here_or_not_at_all(client: FlaskClient, headers: dict[str, str]) -> None:
    data = {"customer_id": CUSTOMER}
    assert client.post("/payments/starter/pay", data=data, headers=headers).status_code == 403


def test_service_that_does_not_answer_is_told(client: FlaskClient) -> None:
    data = fill_in(client, CUSTOMER)
    answer = client.post("/payments/starter/pay", data=data, headers=HERE)
    assert answer.status_code == 502
    assert "had no answer" in answer.text


@pytest.mark.parametrize("place", ["gold", "starter/resume", "end/pay"])
def test_there_is_nothing_else(client: FlaskClient, place: str) -> None:
    assert client.get(f"/payments/{place}").status_code == 404


def test_options_for_payments_go_together(tmp_path: Path) -> None:
    for name in ("key", "token", "secret"):
        (tmp_path / name).write_text("one-word")
    asked = CliRunner().invoke(
        cluster,
        ["--repository", str(tmp_path), "--sealing-key", str(tmp_path / "key"),
         "--token-file", str(tmp_path / "token"), "--webhook-secret-file", str(tmp_path / "secret"),
         "--payments-to", f"http://{HOST}"],
    )  # fmt: skip
    assert asked.exit_code == 2
    assert "--product go together" in asked.output
