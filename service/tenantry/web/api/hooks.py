"""POST /hooks/<kind>: a forge, or Argo CD, says that something moved."""

from __future__ import annotations

from flask import Blueprint, Response, request
from werkzeug.exceptions import ServiceUnavailable, Unauthorized

from tenantry.core.errors import NotFound, SettingsError
from tenantry.flows import webhooks
from tenantry.web.bodies import HOOK_LIMIT, read_body
from tenantry.web.context import current_service
from tenantry.web.operations import Header, Operation, operation

blueprint = Blueprint("hooks", __name__)

_HEX = "[0-9a-f]{64}"


@blueprint.post("/hooks/<kind>")
@operation(
    Operation(
        summary="Say that a pull request or an Application moved",
        tag="Operations",
        answers={204: None},
        problems=(400, 401, 404, 413, 503),
        headers={
            "X-Hub-Signature-256": Header(
                "GitHub: `sha256=` and the body's HMAC-SHA256.", f"^sha256={_HEX}$"
            ),
            "X-Gitlab-Token": Header("GitLab: the secret itself."),
            "X-Gitea-Signature": Header("Gitea: the body's HMAC-SHA256.", f"^{_HEX}$"),
            "X-Forgejo-Signature": Header("Forgejo: the same.", f"^{_HEX}$"),
        },
    )
)
def take_hint(kind: str) -> Response:
    """For the webhooks of a forge: `github`, `gitlab` or `gitea`, which Forgejo is, too; and
    `argocd`, for Argo CD's notifications, with the token as `Authorization: Bearer`.

    The body may be anything up to 1 MiB: it is verified and not read further. It makes the service
    look at its reviews, or at Argo CD, at once, where it would else do so some seconds later;
    sending a message again does no more than that. Without a secret in the settings there is
    nothing here (404); after 503, send it again.
    """
    service = current_service()
    cells = webhooks.listening(service, kind)
    if not cells:
        raise NotFound
    body = read_body(HOOK_LIMIT)
    try:
        meant = webhooks.meant(service, cells, kind, dict(request.headers), body)
    except SettingsError:  # in the log
        raise ServiceUnavailable from None
    if not meant:
        raise Unauthorized
    for cell in meant:
        webhooks.hint(service, cell, kind)
    return Response(status=204)
