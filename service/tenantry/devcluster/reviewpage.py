"""The stand-in's page for reviews without a forge: what waits, how it differs, and three buttons.

A button is pressed from this page or not at all: no session is there that another site's form
could ride on, but the machine's own browser is. So a POST has to name this very origin, which
browsers send and no page can forge; on loopback, with hosts checked before, that is enough.
"""

from __future__ import annotations

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from tenantry.core.errors import TenantryError
from tenantry.devcluster import pages
from tenantry.devcluster.reviews import Refused, Reviews

PLACE = "/reviews"


class ReviewPage:
    """`reviews`: None where the repository is not on this machine."""

    def __init__(self, reviews: Reviews | None, refresh: int) -> None:
        self._reviews = reviews
        self._refresh = refresh

    def blueprint(self) -> Blueprint:
        """The page and its buttons."""
        found = Blueprint("reviews", __name__)
        button = f"{PLACE}/<path:branch>/<any(merge, squash, decline):action>"
        found.add_url_rule(PLACE, "list", self._list)
        found.add_url_rule(button, "press", self._press, methods=["POST"])
        found.register_error_handler(Refused, lambda error: _error(409, "Not done", str(error)))
        found.register_error_handler(
            TenantryError, lambda error: _error(500, "Git failed", error.message)
        )
        return found

    def _list(self) -> Response:
        waiting, unnamed = self._local().waiting()
        refresh = 0 if waiting else self._refresh  # none while somebody reads
        return pages.render(
            "reviews.html", 200, forms="'self'", reviews=waiting, unnamed=unnamed, refresh=refresh
        )

    def _press(self, branch: str, action: str) -> AnyResponse:
        if not pages.is_from_here():
            return pages.not_from_here(back=PLACE)
        head = request.form.get("head", "")
        if action == "decline":
            self._local().decline(branch, head)
        else:
            self._local().merge(branch, head, squash=action == "squash")
        return redirect(PLACE, 303)

    def _local(self) -> Reviews:
        if self._reviews is None:
            raise Refused("Reviews are shown of a repository that is on this machine.")
        return self._reviews


def _error(status: int, title: str, text: str) -> Response:
    return pages.error_page(status, title, text, back=PLACE)
