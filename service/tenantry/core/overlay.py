"""A tenant's overlay: the files that its folder in the tenants repository must hold.

Pure: same specification and ciphertext, same bytes. The company's name is in `tenant.json` alone;
templates do not get to see it. What an expression may read:

    tenant      what differs between tenants: name, customer_id, host, tls_secret (None where the
                cell has one certificate for all), environment, created_at, license_version,
                secrets_version, volumes (claim name -> size)
    ciphertext  key of the product's Secret -> sealed value
    pull_ciphertext
                the same of the Secret that images are pulled with; empty without one
    platform, plan, state, components
                the class of the overlay; `components` lists its Kustomize components
    product     name, title, secret (name), pull_secret (name or None), ingress.paths (an Ingress's
                rules)
    cell        ingress_class, ingress_annotations, ingress_sources (peers of a NetworkPolicy)

A leaf that is None leaves its key out. Only what is equal for all tenants of a class in a cell can
be None, so that all their files have one shape; `load_templates` proves it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tenantry.core import naming
from tenantry.core.document import leaves, load
from tenantry.core.errors import OverlayRefused, ProductError
from tenantry.core.expressions import Expression, is_template, parse_leaf
from tenantry.core.model import State, TenantSpec
from tenantry.core.printer import Block, UnsafeText
from tenantry.core.product import Product
from tenantry.core.pull_secret import KEY as PULL_KEY
from tenantry.core.record import RECORD, Record
from tenantry.core.templates import Template, make_scope

KUSTOMIZATION = "kustomization.yaml"
LOCAL = "local"
ISSUER = "cert-manager.io/cluster-issuer"
NAMESPACE_NAME = "kubernetes.io/metadata.name"  # label that Kubernetes puts on each namespace
OF_TENANTS = frozenset({"tenant", "ciphertext", "pull_ciphertext"})  # differ within a class


@dataclass(frozen=True)
class Templates:
    """The overlay's templates; make them with `load_templates`."""

    files: Mapping[str, str]  # file name -> text
    trees: Mapping[str, Any]  # the same, parsed
    ready: Mapping[str, Template]  # the same, to be rendered
    fingerprint: str  # changes with any text


@dataclass(frozen=True)
class CellFacts:
    """What an overlay must know of the cluster that it goes to."""

    ingress_class: str
    ingress_annotations: Mapping[str, str]
    cluster_issuer: str  # empty: one certificate for all hosts, which the ingress controller has
    ingress_namespace: str  # of the ingress controller's pods
    ingress_cidrs: Sequence[str] = ()  # addresses of the controller, if it is on the hosts' network

    @property
    def annotations(self) -> dict[str, str]:
        """What each Ingress carries, in one order."""
        issuer = {ISSUER: self.cluster_issuer} if self.cluster_issuer else {}
        return {**dict(sorted(self.ingress_annotations.items())), **issuer}

    @property
    def sources(self) -> list[dict[str, Any]]:
        """Where the ingress controller's traffic comes from, as peers of a NetworkPolicy."""
        pods = {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: self.ingress_namespace}}}
        return [pods, *({"ipBlock": {"cidr": cidr}} for cidr in self.ingress_cidrs)]

    def tls_secret(self, customer_id: str) -> str | None:
        """Name of the Secret that cert-manager puts the tenant's certificate into."""
        return f"{customer_id}-tls" if self.cluster_issuer else None


def load_templates(files: Mapping[str, str], product: Product) -> Templates:
    """The templates, each proven to render for every plan and state of the product.

    `files` maps the names that the tenant's files will have to template texts. ProductError with
    file, line and hint for what is broken.
    """
    if KUSTOMIZATION not in files:
        raise ProductError("there is no template of this name", file=f"overlay/{KUSTOMIZATION}")
    trees = {name: load(text, f"overlay/{name}") for name, text in sorted(files.items())}
    ready = {name: _make_ready(name, tree) for name, tree in trees.items()}
    content = json.dumps(sorted(files.items())).encode()
    templates = Templates(dict(files), trees, ready, hashlib.sha256(content).hexdigest()[:16])
    _try_out(templates, product)
    _check_pull_secret(templates, product)
    return templates


def _make_ready(name: str, tree: Any) -> Template:
    try:
        arranged = write_patches(tree) if name == KUSTOMIZATION else tree
    except (AttributeError, TypeError) as error:
        message = f"is no kustomization: {error}"
        raise ProductError(message, file=f"overlay/{name}") from error
    template = Template(arranged, file=f"overlay/{name}")
    _check_structure(tree, f"overlay/{name}")
    return template


def _check_structure(tree: Any, file: str) -> None:
    """ProductError for a leaf that might leave its key out for one tenant and not for another, and
    for a key that holds an expression.
    """
    for path, leaf in leaves(tree):
        if key := next((part for part in path if is_template(str(part))), None):
            hint = "expressions are for values; what varies in structure is a component"
            raise ProductError(f"the key {key!r} is never evaluated", file=file, hint=hint)
        parts = parse_leaf(str(leaf)) if isinstance(leaf, str) else ()
        if len(parts) == 1 and isinstance(parts[0], Expression) and _may_shape(parts[0]):
            raise ProductError(
                f"{str(leaf)!r} could be nothing for one tenant and something for another",
                file=file,
                line=getattr(leaf, "line", None),
                hint="read the value itself, or put it together with ~",
            )


def _may_shape(expression: Expression) -> bool:
    is_of_tenant = any(read[0] in OF_TENANTS for read in expression.reads)
    return is_of_tenant and not expression.is_something


def render(
    spec: TenantSpec,
    ciphertext: Mapping[str, str],
    *,
    product: Product,
    templates: Templates,
    cell: CellFacts,
    has_local: bool,
) -> dict[str, bytes]:
    """The tenant's files: name relative to its folder -> content.

    `has_local` says whether main holds the folder `local/`, which is then included as a component.
    Raises OverlayRefused for a value that no file can hold, ProductError for a template that fails.
    """
    context = build_context(spec, ciphertext, product=product, cell=cell, has_local=has_local)
    scope = make_scope(context)
    try:
        files = {name: template.render(scope) for name, template in templates.ready.items()}
        files[RECORD] = Record.of(spec).to_bytes()
    except UnsafeText as error:
        raise OverlayRefused([f"{spec.name}: a value {error}"]) from error
    return files


def build_context(
    spec: TenantSpec,
    ciphertext: Mapping[str, str],
    *,
    product: Product,
    cell: CellFacts,
    has_local: bool,
) -> dict[str, Any]:
    """What the templates' expressions can read; see the module's text."""
    return {
        "tenant": {
            "name": spec.name,
            "customer_id": spec.customer_id,
            "host": spec.host,
            "tls_secret": cell.tls_secret(spec.customer_id),
            "environment": spec.environment,
            "created_at": show_time(spec.created_at),
            "license_version": product.secret.license_version(
                spec.license_id, spec.secret_versions
            ),
            "secrets_version": product.secret.version(spec.secret_versions),
            "volumes": dict(spec.volumes),
        },
        "ciphertext": {key: ciphertext[key] for key in product.secret.keys},
        "pull_ciphertext": {PULL_KEY: ciphertext[PULL_KEY]} if product.pull_secret else {},
        "platform": spec.platform,
        "plan": spec.plan,
        "state": spec.state.value,
        "components": components(spec.platform, spec.plan, spec.state, has_local=has_local),
        "product": {
            "name": product.name,
            "title": product.title,
            "secret": {"name": product.secret.name},
            "pull_secret": product.pull_secret,
            "ingress": {"paths": _ingress_paths(product)},
        },
        "cell": {
            "ingress_class": cell.ingress_class,
            "ingress_annotations": cell.annotations,
            "ingress_sources": cell.sources,
        },
    }


def components(platform: str, plan: str, state: State, *, has_local: bool) -> list[str]:
    """The Kustomize components of an overlay, in the order in which they apply."""
    root = f"../../../{naming.platform_folder(platform)}"
    own = [LOCAL] if has_local else []
    return [f"{root}/plans/{plan}", f"{root}/states/{state.value}", *own]


def show_time(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds; a time without zone is UTC (some databases drop it)."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def _ingress_paths(product: Product) -> list[dict[str, Any]]:
    return [
        {
            "path": route.path,
            "pathType": "Prefix",
            "backend": {"service": {"name": route.service, "port": {"number": route.port}}},
        }
        for route in product.ingress.routes
    ]


def write_patches(tree: Any) -> Any:
    """Kustomize wants an inline patch as text; templates hold it as a tree, so that values in it
    are leaves like all others.
    """
    patches = [
        {**patch, "patch": Block(patch["patch"])}
        if isinstance(patch.get("patch"), (Mapping, list))
        else patch
        for patch in tree.get("patches", [])
    ]
    return {**tree, "patches": patches} if patches else tree


def _check_pull_secret(templates: Templates, product: Product) -> None:
    read = {
        name
        for tree in templates.trees.values()
        for _, leaf in leaves(tree)
        for part in (parse_leaf(str(leaf)) if isinstance(leaf, str) else ())
        if isinstance(part, Expression)
        for name, *_ in part.reads
    }
    if product.pull_secret and "pull_ciphertext" not in read:
        raise ProductError(
            "no template seals the secret that product.yaml names as pull_secret",
            file="overlay",
            hint='add a SealedSecret with encryptedData: "{{ pull_ciphertext }}"',
        )
    if not product.pull_secret and "pull_ciphertext" in read:
        raise ProductError(
            "a template seals a secret to pull images with, and product.yaml names none",
            file="overlay",
            hint="say its name as pull_secret in product.yaml, or drop the template",
        )


def _try_out(templates: Templates, product: Product) -> None:
    """Render a made-up tenant of each plan and state: finds names that no context has."""
    cell = CellFacts("x", {}, cluster_issuer="x", ingress_namespace="x")
    ciphertext = dict.fromkeys(product.sealed_keys, "AA==")
    for plan in product.plans:
        for state in State:
            spec = made_up(product, plan, state, platform=product.platform)
            try:
                render(
                    spec,
                    ciphertext,
                    product=product,
                    templates=templates,
                    cell=cell,
                    has_local=True,
                )
            except (OverlayRefused, TypeError, AttributeError) as error:
                message = f"does not render for plan {plan!r}: {error}"
                raise ProductError(message, file="overlay") from error


def made_up(product: Product, plan: str, state: State, *, platform: str) -> TenantSpec:
    """A tenant that nobody has: what is wrong with it is wrong with all of its class."""
    return TenantSpec(
        name="customer-bbbbbbbbbb",
        customer_id="cust-bbbbbbbbbb",
        company="Company",
        environment=product.environment,
        created_at=datetime(2000, 1, 1, tzinfo=UTC),
        host="cust-bbbbbbbbbb.example.com",
        plan=plan,
        state=state,
        platform=platform,
        license_id="license",
        secret_versions={
            **dict.fromkeys(product.secret.keys, "1"),
            **product.secret.complete({}),
        },
        volumes=dict(product.plans[plan].volumes),
    )
