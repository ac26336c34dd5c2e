"""The product as it ships, and tenants of it, for tests of overlays."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tenantry import assets
from tenantry.adapters.product_folder import ProductFolder, read_files, read_product_folder
from tenantry.core import naming, pull_secret
from tenantry.core.argocd_files import ArgoCDFacts, render_argocd
from tenantry.core.model import State, TenantSpec
from tenantry.core.overlay import CellFacts, render
from tenantry.core.product import Product
from tenantry.core.secret import NOTHING_REVOKED

CELL = CellFacts(
    ingress_class="nginx",
    ingress_annotations={"nginx.ingress.kubernetes.io/ssl-redirect": "true"},
    cluster_issuer="letsencrypt-prod",
    ingress_namespace="ingress-nginx",
)
ARGOCD = ArgoCDFacts("http://git.example/acme/tenants.git", "https://{host}", shards=1)
DATA = Path(__file__).parent / "data" / "overlay"


# company names that somebody could type
HOSTILE = [
    "{{7*7}}", "{% raw %}", "$(id)", "`id`", "1e3", "190e12", "08", ": -", "- x", "-rf", "../",
    "..", "\u202egnp.exe", "\u05d0\u05d1 Ltd", "😀 GmbH \U0001f469\u200d\U0001f680", "a\nb: c",
    "a\tb", "null", "~", "yes", "#", "&a", "*a", '"', "'", "\\", "</script>", "a" * 200, " ",
    "customer-zzzzzzzzzz", "%s%n", "---", "...", "!!str",
]  # fmt: skip


TEXTS = st.text(  # every text that a file may hold
    st.characters(
        exclude_categories=["Cc", "Cs", "Zl", "Zp"],
        exclude_characters="\ufffe\uffff",
        include_characters="\t\n",
    ),
    max_size=40,
)


def golden(name: str, content: bytes, *, folder: str = "overlay") -> bytes:
    """The stored file; TENANTRY_UPDATE_GOLDEN=1 stores what is there now."""
    path = DATA.parent / folder / name
    if os.environ.get("TENANTRY_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return path.read_bytes()


@cache
def vendor() -> ProductFolder:
    """What ships in tenant_templates/."""
    return read_product_folder(assets.path("tenant_templates"))


def product() -> Product:
    return vendor().product


def spec(key: str = "bcdfghjkmn", **changes: Any) -> TenantSpec:
    """A tenant; `changes` are fields of the specification."""
    plan = changes.get("plan", "starter")
    fields: dict[str, Any] = {
        "name": naming.tenant_name(key),
        "customer_id": naming.customer_id(key),
        "company": "Test Corp",
        "environment": product().environment,
        "created_at": datetime(2026, 11, 22, 17, 9, 8, tzinfo=UTC),
        "host": f"{naming.customer_id(key)}.example.com",
        "plan": plan,
        "state": State.ACTIVE,
        "platform": product().platform,
        "license_id": "0190e12f-lic",
        "secret_versions": {
            **dict.fromkeys(product().secret.keys, "1"),
            "LICENSE_REVOCATIONS": NOTHING_REVOKED,
        },
        "volumes": dict(product().plans[plan].volumes),
    }
    return TenantSpec(**{**fields, **changes})


def sealed(seed: str = "") -> dict[str, str]:
    """Something of the form of ciphertext for each key that is sealed."""
    return {key: ciphertext(f"{seed}{key}") for key in product().sealed_keys}


def ciphertext(seed: str) -> str:
    block = hashlib.shake_256(seed.encode()).digest(512 + 40)
    return base64.b64encode((512).to_bytes(2, "big") + block).decode()


def rendered(
    tenant: TenantSpec,
    *,
    seed: str = "",
    has_local: bool = False,
    cell: CellFacts = CELL,
    ciphertext: Mapping[str, str] | None = None,
) -> dict[str, bytes]:
    """The tenant's files; `seed` is of ciphertext that is made up."""
    return render(
        tenant,
        sealed(seed) if ciphertext is None else ciphertext,
        product=product(),
        templates=vendor().templates,
        cell=cell,
        has_local=has_local,
    )


def argocd_templates() -> dict[str, bytes]:
    """The files that a repository's argocd/ is made from."""
    return read_files(assets.path("tenants") / "argocd")


PULL_SECRET = f"""
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata:
  name: "{{{{ product.pull_secret }}}}"
  namespace: "{{{{ tenant.name }}}}"
  annotations:
    argocd.argoproj.io/sync-wave: "-1"
spec:
  encryptedData: "{{{{ pull_ciphertext }}}}"
  template:
    type: {pull_secret.TYPE}
"""


def private_product(folder: Path) -> Path:
    """The sample as a vendor with private images has it, written to `folder`."""
    shutil.copytree(assets.path("tenant_templates"), folder)
    (folder / "overlay" / "pull-secret.yaml").write_text(PULL_SECRET)
    for path, line, more in (
        ("product.yaml", "secret:\n", "pull_secret: acme-registry\n"),
        ("overlay/kustomization.yaml", "  - ingress.yaml\n", "  - pull-secret.yaml\n"),
        (
            "platform/v1/base/api.yaml",
            "      enableServiceLinks: false\n",
            "      imagePullSecrets: [{name: acme-registry}]\n",
        ),
    ):
        text = (folder / path).read_text()
        assert line in text
        added = more + line if path == "product.yaml" else line + more
        (folder / path).write_text(text.replace(line, added, 1))
    return folder


def write_repository(root: Path, *tenants: TenantSpec) -> Path:
    """A checked-out tenants repository with these tenants; returns `root`."""
    _write(root / naming.platform_folder(product().platform), dict(vendor().platform))
    _write(root / "argocd", render_argocd(argocd_templates(), ARGOCD))
    for tenant in tenants:
        _write(root / naming.folder(tenant.name), rendered(tenant, seed=tenant.name))
    return root


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
