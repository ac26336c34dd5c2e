"""A small tenants repository, real in every part, for the tests of the development stand-in."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import jwt
import pytest
import requests
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from tenantry.adapters.seal import Kubeseal, PlainSecret, parse_certificate
from tenantry.devcluster import DevCluster, DevClusterSettings
from tests.programs import require

URL = "http://git.example/acme/tenants.git"
TOKENS = {"tenantry": "token-of-tenantry", "reader": "token-of-reader", "nobody": "token-of-nobody"}
WEBHOOK_SECRET = "secret of the webhook"
PATIENCE = 30.0  # seconds until a condition that does not come true fails the test
Found = TypeVar("Found")
CANARY = "canary-2f9c1d-value-that-no-page-may-show"


@dataclass(frozen=True)
class Keys:
    """A cluster's sealing pair, and a vendor's signing key."""

    sealing_key: Path
    certificate: str
    signing: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public_pem(self) -> str:
        return (
            self.signing.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )


def make_keys(folder: Path, name: str = "sealing") -> Keys:
    """A fresh pair, as the sealed-secrets controller makes one."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sealed-secrets")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, SHA256())
    )
    path = folder / f"{name}.key"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Keys(path, certificate.public_bytes(serialization.Encoding.PEM).decode())


def make_license(keys: Keys, tenant: str, **changes: Any) -> str:
    """A license of the tenant that is valid for ten days; `changes` replace claims."""
    now = int(time.time())
    claims = {
        "iss": "vendor",
        "sub": f"cust-{tenant}",
        "aud": "sample",
        "iat": now,
        "nbf": now - 60,
        "exp": now + 864_000,
        "jti": f"license-{tenant}",
        "plan": "starter",
        "kind": "trial",
        "limits": {"max_devices": 10},
        "features": {"dashboards": True},
        "grace_until": now + 864_000 + 3600,
    } | changes
    return jwt.encode(claims, keys.signing, algorithm="EdDSA", headers={"typ": "license+jwt"})


class Repository:
    """A bare repository that files are pushed to."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "tenants.git"
        self._work = folder / "work"
        _git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.path))
        _git(folder, "clone", "--quiet", str(self.path), str(self._work))
        _git(self._work, "checkout", "--quiet", "-B", "main")

    def push(self, files: Mapping[str, str], *, remove: str | None = None) -> str:
        """Write files (path -> text), remove a folder, commit and push; the commit's id."""
        for name, text in files.items():
            path = self._work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if remove is not None:
            _git(self._work, "rm", "-rq", remove)
        _git(self._work, "add", "-A")
        _git(self._work, "commit", "--quiet", "--allow-empty", "-m", "change")
        _git(self._work, "push", "--quiet", "origin", "main")
        return _git(self._work, "rev-parse", "HEAD")

    def set_branch(self, branch: str, commit: str | None) -> None:
        """Have a branch stand at a commit; None: have it no more."""
        change = (
            ("-d", f"refs/heads/{branch}") if commit is None else (f"refs/heads/{branch}", commit)
        )
        _git(self.path, "update-ref", *change)


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


class World:
    """The repository, the stand-in beside it, and those who ask it."""

    def __init__(self, folder: Path, keys: Keys, *, kustomize: str, kubeseal: str) -> None:
        self.keys = keys
        self.repository = Repository(folder)
        self.sealer = Kubeseal(kubeseal)
        self._programs = {"kustomize": kustomize, "kubeseal": kubeseal}
        self.stand_in: DevCluster | None = None
        self.repository.push({**ARGOCD, **PLATFORM})

    def start(self, **changes: Any) -> DevCluster:
        """The stand-in, quick, listening on a free port."""
        settings: dict[str, Any] = {
            "repository": str(self.repository.path),
            "sealing_key": self.keys.sealing_key,
            "tokens": TOKENS,
            "webhook_secret": WEBHOOK_SECRET,
            "port": 0,
            "step_seconds": 0.02,
            "poll_seconds": 600.0,
            "time_scale": 0.001,
            **self._programs,
        }
        self.stand_in = DevCluster(DevClusterSettings(**(settings | changes)))
        return self.stand_in.start()

    def stop(self) -> None:
        if self.stand_in is not None:
            self.stand_in.stop()

    def seal(self, tenant: str, values: Mapping[str, str], **where: str) -> str:
        """A SealedSecret's manifest."""
        namespace = where.get("namespace", f"customer-{tenant}")
        keys = where.get("certificate", self.keys.certificate)
        sealed = self.sealer.seal(
            [PlainSecret(namespace, "app-secrets", values)],
            parse_certificate(keys),
            now=datetime.now(UTC),
        )[0]
        manifest = {
            "apiVersion": "bitnami.com/v1alpha1",
            "kind": "SealedSecret",
            "metadata": {"name": "app-secrets", "namespace": f"customer-{tenant}"},
            "spec": {"encryptedData": sealed},
        }
        return yaml.safe_dump(manifest)

    def values(self, tenant: str, **license_changes: Any) -> dict[str, str]:
        """The values of a tenant's Secret."""
        return {
            "DB_PASSWORD": f"{CANARY}-{tenant}",
            "LICENSE": make_license(self.keys, tenant, **license_changes),
            "PUBLIC_KEYS": self.keys.public_pem,
        }

    def files(self, tenant: str, /, **changes: str) -> dict[str, str]:
        """A tenant's folder; `changes` replace files (`sealed_secret` for sealed-secret.yaml)."""
        files = {
            "tenant.json": tenant_json(tenant),
            "kustomization.yaml": KUSTOMIZATION.format(tenant=tenant),
            "namespace.yaml": NAMESPACE.format(tenant=tenant),
            "ingress.yaml": INGRESS.format(tenant=tenant),
        }
        if "sealed_secret" not in changes:
            files["sealed-secret.yaml"] = self.seal(tenant, self.values(tenant))
        for name, text in changes.items():
            stem = name.replace("_", "-")
            files["tenant.json" if name == "tenant" else f"{stem}.yaml"] = text
        return {f"{folder(tenant)}/{name}": text for name, text in files.items()}

    def push_tenant(self, tenant: str, /, **changes: str) -> str:
        commit = self.repository.push(self.files(tenant, **changes))
        self.nudge()
        return commit

    def request(
        self, method: str, path: str, *, account: str | None = "tenantry", **options: Any
    ) -> requests.Response:
        """A request to the stand-in's own host."""
        assert self.stand_in is not None
        headers = dict(options.pop("headers", {}))
        if account is not None:
            headers.setdefault("Authorization", f"Bearer {TOKENS[account]}")
        url = f"http://127.0.0.1:{self.stand_in.port}{path}"
        return requests.request(method, url, headers=headers, timeout=20, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def visit(self, host: str, path: str = "/", **headers: str) -> requests.Response:
        """A request to an instance's host."""
        return self.get(path, account=None, headers={"Host": host, **headers})

    def application(self, tenant: str) -> dict[str, Any]:
        """The tenant's Application as GET answers it; empty where there is none."""
        answer = self.get(f"/api/v1/applications/customer-{tenant}?project=tenants")
        document: dict[str, Any] = answer.json()
        return document if answer.status_code == 200 else {}

    def nudge(
        self, *, ref: str = "refs/heads/main", url: str = URL, **headers: str
    ) -> requests.Response:
        """A push as GitHub tells of it."""
        body = json.dumps({"ref": ref, "repository": {"html_url": url}}).encode()
        digest = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
        signed = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={digest}"}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", "/api/webhook", account=None, data=body, headers=signed | given)

    def settle(self) -> None:
        """Until the sets were looked at once more, from beginning to end."""
        assert self.stand_in is not None
        sets = self.stand_in.sets
        for _ in range(2):
            before = sets.passes
            self.nudge(ref="refs/heads/nobody-watches")
            eventually(lambda: sets.passes > before)  # noqa: B023 - awaited at once

    def await_application(
        self, tenant: str, condition: Callable[[dict[str, Any]], object]
    ) -> dict[str, Any]:
        """The Application once the condition holds of it."""

        def look() -> dict[str, Any]:
            found = self.application(tenant)
            return found if found and condition(found) else {}

        return eventually(look, lambda: summary(self.application(tenant)))

    def await_ready(self, tenant: str, commit: str | None = None) -> dict[str, Any]:
        return self.await_application(tenant, lambda one: is_ready(one, commit))


def eventually(condition: Callable[[], Found], explain: Callable[[], object] = str) -> Found:
    """The condition's value once it is true; fails after PATIENCE."""
    give_up = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < give_up, f"did not come true: {explain()}"
        time.sleep(0.02)
    return value


def is_ready(one: dict[str, Any], commit: str | None = None) -> bool:
    status = one["status"]
    return (
        status["health"].get("status") == "Healthy"
        and status["sync"]["status"] == "Synced"
        and status.get("operationState", {}).get("phase") == "Succeeded"
        and status["reconciledAt"] >= status["operationState"]["finishedAt"]
        and commit in {None, status["sync"]["revision"]}
        and "operation" not in one
    )


def summary(one: dict[str, Any]) -> object:
    """What a failed test should say of an Application."""
    status = one.get("status", {})
    return {
        "health": status.get("health"),
        "sync": status.get("sync", {}).get("status"),
        "operation": status.get("operationState", {}).get("message"),
        "conditions": status.get("conditions"),
        "resources": [resource for resource in status.get("resources", []) if "health" in resource],
    }


def folder(tenant: str) -> str:
    return f"tenants/{hashlib.sha256(tenant.encode()).hexdigest()[:2]}/customer-{tenant}"


def tenant_json(tenant: str, **changes: Any) -> str:
    found = {
        "name": f"customer-{tenant}",
        "customer_id": f"cust-{tenant}",
        "plan": "starter",
        "company": f"Company {tenant}",
        "host": host(tenant),
    }
    return json.dumps(found | changes, ensure_ascii=False)


def host(tenant: str) -> str:
    return f"cust-{tenant}.localhost"


KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: customer-{tenant}
resources:
  - ../../../platform/v1/base
  - namespace.yaml
  - sealed-secret.yaml
  - ingress.yaml
configMapGenerator:
  - name: app-settings
    literals: ["TENANT={tenant}"]
"""
NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata:
  name: customer-{tenant}
  labels: {{customer-id: cust-{tenant}}}
"""
INGRESS = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: app, namespace: customer-{tenant}}}
spec:
  rules:
    - host: cust-{tenant}.localhost
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {{service: {{name: app, port: {{number: 80}}}}}}
"""
BASE = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: app}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: tenant}
spec: {hard: {requests.cpu: "2", pods: "5"}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: v1
kind: Service
metadata: {name: app}
spec:
  selector: {app.kubernetes.io/name: app}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  replicas: 1
  selector: {matchLabels: {app.kubernetes.io/name: app}}
  template:
    metadata:
      labels: {app.kubernetes.io/name: app}
    spec:
      serviceAccountName: app
      containers:
        - name: app
          image: registry.example.com/app:1.0.0
          ports: [{name: http, containerPort: 8080}]
          env:
            - name: TENANT
              valueFrom: {configMapKeyRef: {name: app-settings, key: TENANT}}
            - name: DB_PASSWORD
              valueFrom: {secretKeyRef: {name: app-secrets, key: DB_PASSWORD}}
            - name: LICENSE
              valueFrom: {secretKeyRef: {name: app-secrets, key: LICENSE}}
            - name: PUBLIC_KEYS
              valueFrom: {secretKeyRef: {name: app-secrets, key: PUBLIC_KEYS}}
          resources: {requests: {cpu: 100m}}
"""
PLATFORM = {
    "platform/v1/base/kustomization.yaml": "resources: [all.yaml]\n",
    "platform/v1/base/all.yaml": BASE,
}
PROJECT = f"""\
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {{name: tenants, namespace: argocd}}
spec:
  sourceRepos: ["{URL}"]
  destinations: [{{server: "https://kubernetes.default.svc", namespace: "customer-*"}}]
  clusterResourceWhitelist: [{{group: "", kind: Namespace, name: "customer-*"}}]
  namespaceResourceWhitelist:
    - {{group: "", kind: ConfigMap}}
    - {{group: "", kind: PersistentVolumeClaim}}
    - {{group: "", kind: ResourceQuota}}
    - {{group: "", kind: Service}}
    - {{group: "", kind: ServiceAccount}}
    - {{group: apps, kind: Deployment}}
    - {{group: bitnami.com, kind: SealedSecret}}
    - {{group: networking.k8s.io, kind: Ingress}}
    - {{group: networking.k8s.io, kind: NetworkPolicy}}
"""
SETS = f"""\
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {{name: tenants, namespace: argocd}}
spec:
  goTemplate: true
  goTemplateOptions: [missingkey=error]
  generators:
    - git:
        repoURL: {URL}
        revision: refs/heads/main
        files: [{{path: tenants/*/*/tenant.json}}]
  syncPolicy: {{applicationsSync: create-update}}
  template:
    metadata:
      name: "{{{{ .name }}}}"
      labels:
        tenantry.example.com/kind: tenant
        tenantry.dev/customer-id: "{{{{ .customer_id }}}}"
        tenantry.dev/plan: "{{{{ .plan }}}}"
      annotations: {{argocd.argoproj.io/manifest-generate-paths: .}}
      finalizers: [resources-finalizer.argocd.argoproj.io]
    spec:
      project: tenants
      source: {{repoURL: {URL}, targetRevision: refs/heads/main, path: "{{{{ .path.path }}}}"}}
      destination: {{server: "https://kubernetes.default.svc", namespace: "{{{{ .name }}}}"}}
      info: [{{name: Company, value: "{{{{ .company }}}}"}}]
      revisionHistoryLimit: 2
      syncPolicy:
        automated: {{prune: true, selfHeal: true, allowEmpty: false, enabled: true}}
        syncOptions:
          - CreateNamespace=false
          - ApplyOutOfSyncOnly=true
          - PruneLast=true
          - ServerSideApply=true
          - FailOnSharedResource=true
        retry: {{limit: 5, backoff: {{duration: 5s, factor: 2, maxDuration: 3m}}, refresh: true}}
"""
ARGOCD = {"argocd/appproject.yaml": PROJECT, "argocd/applicationsets.yaml": SETS}


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """One cluster's keys, for all tests of a process."""
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def world(tmp_path: Path, keys: Keys) -> Iterator[World]:
    """A repository with a platform; the test starts the stand-in as it needs it."""
    made = make_world(tmp_path, keys)
    yield made
    made.stop()


def make_world(folder: Path, keys: Keys) -> World:
    """A world with the real programs, where they are installed."""
    return World(folder, keys, kustomize=require("kustomize"), kubeseal=require("kubeseal"))
