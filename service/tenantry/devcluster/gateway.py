"""The ingress: answers for an instance's host, from what its pods would read."""

from __future__ import annotations

from flask import Request, Response
from werkzeug.wsgi import get_path_info

from tenantry.devcluster import pages
from tenantry.devcluster.answers import json_answer
from tenantry.devcluster.clock import now
from tenantry.devcluster.cluster import Cluster
from tenantry.devcluster.instance import find_instance


def answer_instance(cluster: Cluster, request: Request, audience: str | None) -> Response | None:
    """The answer of the instance at the request's Host; None where no Ingress knows it."""
    path = get_path_info(request.environ) or "/"
    host = host_of(request.environ.get("HTTP_HOST", ""))
    instance = find_instance(cluster, host, path, audience=audience, now=now())
    if instance is None:
        return None
    if _wants_json(request, path):
        body = instance.facts() if instance.running else _not_running(instance.waiting)
        answer = json_answer(body, pages.instance_status(instance))
        answer.headers["Cache-Control"] = "no-store"
        return answer
    return pages.instance_page(instance, path)


def host_of(header: str) -> str:
    """The host of a Host header, lower case, without port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.rpartition(":")[0].lower() if ":" in header else header.lower()


def _wants_json(request: Request, path: str) -> bool:
    if path == "/api" or path.startswith("/api/"):
        return True
    offered = ["text/html", "application/json"]
    return request.accept_mimetypes.best_match(offered, "text/html") == "application/json"


def _not_running(waiting: tuple[str, ...]) -> dict[str, object]:
    return {"stand_in": True, "error": "not running", "waiting_for": list(waiting)}
