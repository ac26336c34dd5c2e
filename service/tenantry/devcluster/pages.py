"""The stand-in's own page, the instances' pages, and errors: plain HTML, everything escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flask import Response, request
from jinja2 import Environment, PackageLoader, StrictUndefined

from tenantry.devcluster.cluster import Cluster
from tenantry.devcluster.instance import NOTICE, Instance, known_hosts
from tenantry.devcluster.registry import Document, Registry
from tenantry.devcluster.sets import SetController

_JINJA = Environment(
    loader=PackageLoader("tenantry.devcluster"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
STYLE = _JINJA.get_template("style.css").render()
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
SETS_NAMED = 5  # of those in error; the others are counted
LABELS_OF_ARGO = ("app.kubernetes.io/managed-by",)  # the same for all: not worth a line


@dataclass(frozen=True)
class Row:
    """One Application as the page lists it."""

    name: str
    company: str
    labels: Mapping[str, str]
    info: Mapping[str, str]
    health: str
    sync: str
    phase: str
    revision: str
    deleting: bool
    pods: str
    problems: tuple[str, ...]
    links: tuple[str, ...]


def applications_page(
    registry: Registry, sets: SetController, cluster: Cluster, port: int, refresh: int
) -> Response:
    """Every Application, how many sets there are, and what is wrong with some of them."""
    every = list(sets.sets.values())
    broken = [one for one in every if one.error]
    return render(
        "applications.html",
        200,
        rows=[_row(document, cluster, port) for document in registry.documents()],
        problem=sets.problem,
        sets=len(every),
        broken=broken[:SETS_NAMED],
        unnamed=len(broken[SETS_NAMED:]),
        refresh=refresh,
    )


def instance_page(instance: Instance, path: str) -> Response:
    """What a person sees at an instance's URL."""
    status = instance_status(instance)
    return render("instance.html", status, instance=instance, facts=instance.facts(), path=path)


def instance_status(instance: Instance) -> int:
    """503 while it does not run, 403 where the product would refuse its license."""
    if not instance.running:
        return 503
    return 200 if instance.license.valid else 403


def error_page(status: int, title: str, text: str, *, back: str = "") -> Response:
    """The stand-in's error page, with a link to the page that it was come from, if any."""
    return render("error.html", status, title=title, text=text, back=back)


def is_from_here() -> bool:
    """Whether a form was sent from a page of this very origin."""
    return (
        request.headers.get("Origin") == request.host_url.rstrip("/")
        and request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
    )


def not_from_here(*, back: str = "") -> Response:
    """The answer to a form that another site sent."""
    text = "The request came from another site."
    return error_page(403, "Not from this page", text, back=back)


def render(template: str, status: int, *, forms: str = "", **values: Any) -> Response:
    """A page with the headers that every page has; `forms`: where those in it may lead to."""
    html = _JINJA.get_template(template).render(notice=NOTICE, style=STYLE, **values)
    return Response(html, status, headers=_headers(forms), content_type="text/html; charset=utf-8")


def _headers(forms: str) -> dict[str, str]:
    target = forms or "'none'"
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
            f"form-action {target}; frame-ancestors 'none'"
        ),
        "Cache-Control": "no-store",
        # without any referrer, a browser would not say a form's origin either
        "Referrer-Policy": "same-origin" if forms else "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def _row(document: Document, cluster: Cluster, port: int) -> Row:
    metadata, status = document["metadata"], document["status"]
    info = {str(one["name"]): str(one["value"]) for one in document["spec"].get("info", ())}
    operation = status.get("operationState", {})
    home = document["spec"]["destination"]["namespace"]
    return Row(
        name=metadata["name"],
        company=info.pop("Company", ""),
        labels={
            name.rpartition("/")[2]: value
            for name, value in metadata.get("labels", {}).items()
            if name not in LABELS_OF_ARGO
        },
        info=info,
        health=status["health"].get("status", "–"),
        sync=status["sync"]["status"] or "–",
        phase=operation.get("phase", "–"),
        revision=_short(status["sync"].get("revision", "")),
        deleting="deletionTimestamp" in metadata,
        pods=_pods(cluster.running(home)),
        problems=_problems(status),
        links=tuple(
            f"http://{host}:{port}/" for host in known_hosts(cluster, home) if _is_host(host)
        ),
    )


def _pods(running: Mapping[str, tuple[int, int]]) -> str:
    """`3 of 4: api, postgres 0 of 1, web 2`: a workload of one pod that runs is only named."""
    shown = [
        name if counts == (1, 1) else f"{name} {_count(*counts)}"
        for name, counts in running.items()
        if any(counts)
    ]
    if not shown:
        return "none"
    have, wanted = (sum(counts) for counts in zip(*running.values(), strict=True))
    return f"{_count(have, wanted)}: {', '.join(shown)}"


def _count(have: int, wanted: int) -> str:
    return str(have) if have == wanted else f"{have} of {wanted}"


def _problems(status: Mapping[str, Any]) -> tuple[str, ...]:
    found = [one["message"] for one in status.get("conditions", ())]
    found += [
        f"{one['kind']} {one['name']}: {one['health']['message']}"
        for one in status.get("resources", ())
        if one.get("health", {}).get("message")
    ]
    operation = status.get("operationState", {})
    if operation.get("retryCount") or operation.get("phase") == "Failed":
        found.append(operation.get("message", ""))
    return tuple(dict.fromkeys(found))


def _short(revision: str) -> str:
    return revision if "/" in revision else revision[:7]


def _is_host(host: str) -> bool:
    """Whether a link to it leads there and nowhere else."""
    try:
        return urlsplit(f"http://{host}/").hostname == host.lower()
    except ValueError:
        return False
