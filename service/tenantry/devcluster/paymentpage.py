"""The stand-in's page for payments: where the links of plans lead to, and the portal of who pays.

No card is asked for and no money moves: each button has the service told what a payment provider
would tell it, and leads back to the customer's account. A button is pressed from this page or not
at all, as on the page for reviews.
"""

from __future__ import annotations

import re
import secrets

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from tenantry.core.errors import TenantryError
from tenantry.core.product import Product
from tenantry.core.subscription import EventKind
from tenantry.devcluster import pages
from tenantry.devcluster.clock import now
from tenantry.devcluster.provider import Provider

PLACE = "/payments"
CUSTOMER = "client_reference_id"  # as in Stripe's payment links
_SAYS = {
    "pay": EventKind.PAID,
    "decline": EventKind.PAYMENT_FAILED,
    "end": EventKind.CANCELLED,
    "resume": EventKind.RESUMED,
}


class PaymentPage:
    """Where the plans of `product` are paid, and `provider` tells of it."""

    def __init__(self, product: Product, provider: Provider) -> None:
        self._product = product
        self._provider = provider

    def blueprint(self) -> Blueprint:
        """The pages and their buttons."""
        found = Blueprint("payments", __name__)
        names = ", ".join(f'"{name}"' for name in self._product.plans)
        plan = f"<any({names}):plan>"
        found.add_url_rule(PLACE, "portal", self._portal)
        found.add_url_rule(f"{PLACE}/{plan}", "plan", self._plan)
        of_plan = f"{PLACE}/{plan}/<any(pay, decline):action>"
        found.add_url_rule(of_plan, "press_plan", self._press, methods=["POST"])
        found.add_url_rule(
            f"{PLACE}/<any(end, resume):action>", "press", self._press, methods=["POST"]
        )
        found.register_error_handler(TenantryError, _not_taken)
        return found

    def _portal(self) -> Response:
        return self._page(tuple(self._product.plans), is_portal=True)

    def _plan(self, plan: str) -> Response:
        return self._page((plan,), is_portal=False)

    def _page(self, plans: tuple[str, ...], *, is_portal: bool) -> Response:
        customer_id = request.args.get(CUSTOMER, "")
        if not _is_customer(customer_id):
            return _nobody()
        return pages.render(
            "payments.html",
            200,
            forms=f"'self' {self._provider.service_url}",  # where a press leads back to
            product=self._product.title,
            plans={name: self._product.plans[name] for name in plans},
            is_portal=is_portal,
            customer_id=customer_id,
            account=self._account,
            showing=secrets.token_hex(8),
        )

    def _press(self, action: str, plan: str | None = None) -> AnyResponse:
        customer_id, showing = (request.form.get(name, "") for name in ("customer_id", "showing"))
        if not pages.is_from_here():
            return pages.not_from_here()
        if not _is_customer(customer_id):
            return _nobody()
        if not re.fullmatch("[0-9a-f]{16}", showing):
            return _no_showing()
        # a button that is pressed twice says the same thing twice
        message_id = "-".join(filter(None, ("stand-in", showing, action, plan)))
        self._provider.tell(_SAYS[action], customer_id, now(), plan, message_id=message_id)
        return redirect(self._account, 303)

    @property
    def _account(self) -> str:
        return f"{self._provider.service_url}/account"


def _is_customer(customer_id: str) -> bool:
    return re.fullmatch(r"cust-[a-z0-9]{1,64}", customer_id, re.ASCII) is not None


def _nobody() -> Response:
    text = f"The link names no customer: {CUSTOMER}=cust-… belongs to it."
    return pages.error_page(400, "Whose payment?", text)


def _no_showing() -> Response:
    return pages.error_page(400, "Which press?", "Open the page again, and press its button.")


def _not_taken(error: TenantryError) -> Response:
    return pages.error_page(502, "Not taken", str(error))
