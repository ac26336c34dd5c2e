"""What an operator does after `tenantry init`, as it is typed, with the cell's own values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from tenantry.adapters.git import transport
from tenantry.core.argocd_files import BRANCH
from tenantry.settings import CellSettings, Settings

_IS_REPOSITORY = "argocd.argoproj.io/secret-type=repository"
ARGOCD_WEBHOOK = "http://argocd-applicationset-controller.argocd.svc:7000/api/webhook"
_APPLY = "kubectl apply --server-side --field-manager=tenantry"
_PRIVATE = "umask 077"  # before a secret is written to a file
_FORGES = "<github, gitlab or gitea>"
_RANDOM = "openssl rand -hex 32 | tr -d '\\n' >"


@dataclass(frozen=True)
class Step:
    """One thing to do."""

    title: str
    lines: list[str]  # commands, and comments that begin with #


@dataclass(frozen=True)
class _Place:
    """A cell's settings, and how they are set."""

    name: str
    cell: CellSettings
    public_url: str
    billing_secret: Path | None
    review_everything: bool  # as is wished for

    def file(self, setting: str, default: str) -> tuple[str, list[str]]:
        """The file that a setting names; where it names none, a file and the line to set it."""
        found: Path | None = getattr(self.cell, setting)
        if found:
            return quote(str(found)), []
        return default, [self.set(setting, f"$PWD/{default}")]

    def set(self, setting: str, value: str) -> str:
        """A comment, since where settings are kept is the operator's choice."""
        return f"# set TENANTRY_CELLS__{self.name.upper()}__{setting.upper()}={value}"


def next_steps(name: str, settings: Settings, *, review_everything: bool) -> list[Step]:
    """The steps in their order, where everything shall wait for a review, or what does by
    default.
    """
    place = _Place(
        name,
        settings.cells[name],
        settings.public_url,
        settings.billing_secret_file,
        review_everything,
    )
    steps: list[Callable[[_Place], Step]] = [
        _sealed_secrets,
        _volumes,
        _read_access,
        _apply,
        _account,
        _webhook,
        _notifications,
        _forge,
        _reviews,
        _payments,
    ]
    return [step(place) for step in steps]


def _secret(name: str, values: str) -> str:
    return f"kubectl -n argocd create secret generic {name} {values}"


def _merged(name: str, values: str) -> str:
    """Adds to a Secret that is there, and shows no value to other processes."""
    return f"{_secret(name, values)} --dry-run=client -o yaml | {_APPLY} -f -"


def _sealed_secrets(place: _Place) -> Step:
    file, settings = place.file("sealing_certificate", "sealing.crt")
    return Step(
        "Take the sealing certificate. Health needs the controller to report what it observed, and "
        "its default limits open one tenant a second",
        [
            "# the controller's arguments (Helm: args), --update-status is its default:",
            "#   --update-status=true --kubeclient-qps=50 --kubeclient-burst=100",
            f"kubeseal --fetch-cert > {file}",
            *settings,
        ],
    )


def _volumes(place: _Place) -> Step:
    hint = place.set("volumes_grow", "false")
    return Step(
        "See whether volumes can grow with a larger plan: the default class shows true as "
        "ALLOWVOLUMEEXPANSION",
        ["kubectl get storageclass", *(["# if not:", hint] if place.cell.volumes_grow else [])],
    )


def _read_access(place: _Place) -> Step:
    url = place.cell.repository_url_for_argocd
    user = quote(place.cell.git_username)
    with_token = f"--from-literal=username={user} --from-file=password=read-token"
    with_key = "--from-file=sshPrivateKey=read-key"
    where = f"--from-literal=url={quote(url)}"
    credentials = {"http": with_token, "https": with_token, "ssh": with_key}
    kind = transport(url)
    if kind not in credentials:
        hint = place.set("argocd_repository_url", "https://…")
        return Step("Tell the URL that Argo CD reads the repository by; it reads no path", [hint])
    return Step(
        "Let Argo CD read the repository, with a token or key that may only read",
        [
            _secret("tenants-repository", f"--from-literal=type=git {where} {credentials[kind]}"),
            f"kubectl -n argocd label secret tenants-repository {_IS_REPOSITORY}",
        ],
    )


def _apply(place: _Place) -> Step:
    url = quote(place.cell.repository_url_for_argocd)
    return Step(
        "Give Argo CD its files: its configuration first, then project and ApplicationSets. Again "
        "whenever argocd/ changes",
        [
            f"git clone --branch {BRANCH} {url} tenants",  # whatever the server's HEAD is
            f"{_APPLY} -f tenants/argocd/config/",
            f"{_APPLY} -f tenants/argocd/",
        ],
    )


def _account(place: _Place) -> Step:
    file, settings = place.file("argocd_token_file", "argocd.token")
    url = place.cell.argocd_url
    return Step(
        "Give the service its token; before it ends, write a new one to the same file",
        [
            _PRIVATE,
            f"argocd account generate-token --account tenantry --expires-in 8760h > {file}",
            *settings,
            *([] if url else [place.set("argocd_url", "https://argocd.example.com")]),
        ],
    )


def _webhook(place: _Place) -> Step:
    file, settings = place.file("argocd_webhook_secret_file", "webhook.secret")
    url = place.cell.argocd_webhook_url
    return Step(
        "Let the service tell Argo CD of each push, or a new tenant waits for minutes",
        [
            _PRIVATE,
            f"{_RANDOM} {file}",
            _merged("argocd-secret", f"--from-file=webhook.github.secret={file}"),
            *settings,
            *([] if url else [place.set("argocd_webhook_url", ARGOCD_WEBHOOK)]),
        ],
    )


def _notifications(place: _Place) -> Step:
    file, url = "argocd-hook.token", f"--from-literal=tenantry-url={quote(place.public_url)}"
    return Step(
        "Let Argo CD tell the service that a tenant moved (the service does not listen yet: this "
        "may wait)",
        [
            _PRIVATE,
            f"{_RANDOM} {file}",
            _merged("argocd-notifications-secret", f"{url} --from-file=tenantry-token={file}"),
        ],
    )


def _forge(_: _Place) -> Step:
    return Step(
        "At the Git host",
        [
            "# variable of CI, as a GitHub or Gitea variable or a GitLab CI/CD variable:",
            "#   TENANTRY_IMAGE = this service's image, by version",
            "# branch main: pull requests with the code owners' approval, and the check must pass;",
            "#   the service's account may push without",
            "# branches shard/*: only the service's account may push",
            "# both: nobody may force a push or delete them",
        ],
    )


def _reviews(place: _Place) -> Step:
    wanted = place.review_everything
    is_set = place.cell.review_everything == wanted
    return Step(
        "Let people review "
        + ("every change to a tenant" if wanted else "what does not go out at once by default"),
        [
            *([] if is_set else [place.set("review_everything", str(wanted).lower())]),
            *_pull_requests(place),
            *_hook(place),
        ],
    )


def _pull_requests(place: _Place) -> list[str]:
    if place.cell.forge != "none":
        return []
    return [
        "# without a forge, a branch tenantry/… waits until somebody merges it into main; for pull",
        "# requests, with a token that may write them (default: the one that pushes):",
        place.set("forge", _FORGES),
        place.set("forge_token_file", "$PWD/forge.token"),
    ]


def _hook(place: _Place) -> list[str]:
    """What makes a merge be seen at once, and not by the next look."""
    file, settings = place.file("forge_webhook_secret_file", "forge-webhook.secret")
    kind = _FORGES if place.cell.forge == "none" else place.cell.forge
    return [
        _PRIVATE,
        f"{_RANDOM} {file}",
        *settings,
        "# at the forge, a webhook for pushes and pull requests (GitLab: merge requests):",
        f"#   URL {place.public_url}/hooks/{kind}, as application/json, with that secret",
    ]


def _payments(place: _Place) -> Step:
    file = place.billing_secret or "$PWD/billing.secret"
    return Step(
        "Let the payment provider tell what was paid, where customers pay by payment links",
        [
            f"# at the provider, a webhook to {place.public_url}/hooks/billing, for the types that",
            f"#   docs/billing.md names; the secret that signs its messages goes to {file}",
            *([] if place.billing_secret else [f"# set TENANTRY_BILLING_SECRET_FILE={file}"]),
        ],
    )
