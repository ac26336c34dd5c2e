"""The control endpoint: breaks and mends over HTTP. No part of Argo CD's API, so it needs no token;
it answers on the stand-in's own host alone, and changes want JSON, which no foreign page can send.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, request

from tenantry.devcluster.answers import json_answer
from tenantry.devcluster.breaks import Breaks, NoSuchBreak

PATH = "/stand-in/breaks"


@dataclass(frozen=True)
class BreaksControl:
    """Each request is answered with what is broken afterwards."""

    breaks: Breaks

    def blueprint(self) -> Blueprint:
        """The routes."""
        routes = Blueprint("breaks", __name__)
        routes.add_url_rule(PATH, "all", self.all, methods=["GET"])
        routes.add_url_rule(PATH, "change", self.change, methods=["POST", "DELETE"])
        routes.register_error_handler(NoSuchBreak, _refuse)
        return routes

    def all(self) -> Response:
        found = [{"case": case, "tenant": tenant} for case, tenant in self.breaks.all()]
        return json_answer({"breaks": found})

    def change(self) -> Response:
        body = request.get_json(silent=True)
        case, tenant = (body.get("case"), body.get("tenant")) if isinstance(body, dict) else ("", 0)
        if not isinstance(case, str) or not isinstance(tenant, str | None):
            return _refuse(NoSuchBreak("no case", remedy='send JSON: {"case": …, "tenant": …}'))
        act = self.breaks.start if request.method == "POST" else self.breaks.end
        act(case, tenant or None)
        return self.all()


def _refuse(error: NoSuchBreak) -> Response:
    return json_answer({"error": error.message, "remedy": error.remedy}, 400)
