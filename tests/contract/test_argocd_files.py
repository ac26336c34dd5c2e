"""argocd/ as the real thing reads it: by the resources' own schemas, and its Lua run by Lua."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from lupa import lua51

from tenantry.core import naming
from tenantry.core.argocd_files import PROJECT, ArgoCDFacts, render_argocd
from tenantry.core.document import load_all
from tenantry.core.model import State
from tenantry.core.record import Record
from tenantry.devcluster import gotemplate
from tests import overlays

DATA = Path(__file__).parent.parent / "data"
FACTS = ArgoCDFacts("https://git.example.com/acme/tenants.git", "https://{host}", 64)
CONFIG = ("argocd-cm", "argocd-rbac-cm", "argocd-notifications-cm")


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return render_argocd(overlays.argocd_templates(), FACTS)


@pytest.fixture(scope="module")
def sets(files: dict[str, bytes]) -> list[Any]:
    return load_all(files["applicationsets.yaml"], "applicationsets.yaml")


@pytest.fixture(scope="module")
def data(files: dict[str, bytes]) -> dict[str, dict[str, str]]:
    """What each partial ConfigMap holds."""
    return {name: _config(files, name)["data"] for name in CONFIG}


def _config(files: dict[str, bytes], name: str) -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load(files[f"config/{name}.yaml"])
    return tree


# Schemas


def _faults(kind: str, tree: Any) -> list[str]:
    schema = json.loads((DATA / "crds" / f"{kind}.json").read_text())
    found = Draft7Validator(schema).iter_errors(json.loads(json.dumps(tree)))
    return [f"{error.json_path}: {error.message}" for error in found]


def test_every_set_and_the_project_are_what_argo_cd_knows(
    files: dict[str, bytes], sets: list[Any]
) -> None:
    assert [fault for tree in sets for fault in _faults("ApplicationSet", tree)] == []
    (project,) = load_all(files["appproject.yaml"], "appproject.yaml")
    assert _faults("AppProject", project) == []


@pytest.mark.parametrize("company", overlays.HOSTILE)
def test_the_application_of_any_tenant_is_what_argo_cd_knows(sets: list[Any], company: str) -> None:
    tenant = overlays.spec(company=company)
    parameters = {
        **Record.of(tenant).model_dump(mode="json"),
        "path": {"path": naming.folder(tenant.name)},
    }
    rendered = gotemplate.render(sets[0]["spec"]["template"], parameters)
    application = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", **rendered}
    assert _faults("Application", application) == []
    assert application["spec"]["info"][0]["value"] == company


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("plan", ["starter", "professional", "enterprise"])
def test_every_sealed_secret_is_what_its_controller_knows(plan: str, state: State) -> None:
    files = overlays.rendered(overlays.spec(plan=plan, state=state))
    (sealed,) = load_all(files["sealed-secret.yaml"], "sealed-secret.yaml")
    assert _faults("SealedSecret", sealed) == []


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("ApplicationSet", ("spec", "syncPolicy", "applicationSync")),
        ("ApplicationSet", ("spec", "template", "spec", "syncPolicy", "automated", "selfheal")),
        ("ApplicationSet", ("spec", "template", "spec", "syncPolicy", "retry", "refreshes")),
        ("AppProject", ("spec", "clusterResourceWhitelists")),
        ("SealedSecret", ("spec", "encrypted")),
        ("SealedSecret", ("spec", "template", "annotations")),
        ("Certificate", ("spec", "dnsName")),
    ],
)
def test_a_field_that_nobody_knows_is_found(
    files: dict[str, bytes], kind: str, path: tuple[str, ...]
) -> None:
    tree = _sample(files, kind)
    assert _faults(kind, tree) == []
    *above, last = path
    place = tree
    for part in above:
        place = place[part]
    place[last] = "x"
    assert any(last in fault for fault in _faults(kind, tree))


def _sample(files: dict[str, bytes], kind: str) -> Any:
    if kind == "Certificate":
        issuer = {"name": "letsencrypt-prod", "kind": "ClusterIssuer"}
        spec = {"secretName": "tls", "dnsNames": ["a.example.com"], "issuerRef": issuer}
        head = {"apiVersion": "cert-manager.io/v1", "kind": kind, "metadata": {"name": "tls"}}
        return {**head, "spec": spec}
    text = {
        "ApplicationSet": files["applicationsets.yaml"],
        "AppProject": files["appproject.yaml"],
        "SealedSecret": overlays.rendered(overlays.spec())["sealed-secret.yaml"],
    }[kind]
    return load_all(text, kind)[0]


# Health


def _health(data: dict[str, dict[str, str]], kind: str, obj: Any) -> tuple[str, str]:
    """Status and message by the check that Argo CD would run, in the Lua that it speaks."""
    script = data["argocd-cm"][f"resource.customizations.health.{kind}"]
    lua = lua51.LuaRuntime(register_eval=False)
    lua.globals().obj = lua.table_from(obj, recursive=True)
    told = lua.execute(script)
    return told["status"], told["message"]


SEALED_SECRET = "bitnami.com_SealedSecret"
CERTIFICATE = "cert-manager.io_Certificate"
NOT_OPENED = ("Progressing", "the sealed-secrets controller has not opened this version yet")


def _recorded(name: str) -> Any:
    return yaml.safe_load((DATA / "argocd" / f"sealedsecret-{name}.yaml").read_text())


def test_a_recorded_sealed_secret_that_opened_is_healthy(data: dict[str, dict[str, str]]) -> None:
    assert _health(data, SEALED_SECRET, _recorded("ok")) == ("Healthy", "")


def test_a_recorded_one_that_did_not_says_why(data: dict[str, dict[str, str]]) -> None:
    told = _health(data, SEALED_SECRET, _recorded("wrong-name"))
    assert told == ("Degraded", "no key could decrypt secret (a)")


@pytest.mark.parametrize("recorded", ["ok", "wrong-name"])
def test_what_was_seen_of_an_older_version_is_not_believed(
    data: dict[str, dict[str, str]], recorded: str
) -> None:
    tree = _recorded(recorded)
    tree["metadata"]["generation"] = 2
    assert _health(data, SEALED_SECRET, tree) == NOT_OPENED


@pytest.mark.parametrize("missing", ["status", "conditions", "observedGeneration"])
def test_one_that_nobody_looked_at_is_waited_for(
    data: dict[str, dict[str, str]], missing: str
) -> None:
    tree = _recorded("ok")
    (tree if missing == "status" else tree["status"]).pop(missing)
    assert _health(data, SEALED_SECRET, tree) == NOT_OPENED


def _certificate(*conditions: tuple[str, str, int]) -> Any:
    listed = [
        {"type": kind, "status": status, "observedGeneration": seen, "message": f"{kind} {status}"}
        for kind, status, seen in conditions
    ]
    return {"metadata": {"generation": 2}, "status": {"conditions": listed}}


@pytest.mark.parametrize(
    ("certificate", "told"),
    [
        ({"metadata": {"generation": 1}}, ("Progressing", "cert-manager has not looked at it yet")),
        # the normal way: not there, asked for, there
        (_certificate(("Ready", "False", 2)), ("Progressing", "Ready False")),
        (
            _certificate(("Ready", "False", 2), ("Issuing", "True", 2)),
            ("Progressing", "Issuing True"),
        ),
        (_certificate(("Ready", "True", 2)), ("Healthy", "Ready True")),
        # renewed while it is good
        (_certificate(("Issuing", "True", 2), ("Ready", "True", 2)), ("Healthy", "Ready True")),
        # refused by the authority
        (
            _certificate(("Ready", "False", 2), ("Issuing", "False", 2)),
            ("Degraded", "Issuing False"),
        ),
        # seen before the spec changed
        (
            _certificate(("Ready", "True", 1)),
            ("Progressing", "cert-manager has not looked at it yet"),
        ),
    ],
)
def test_a_certificate_is_degraded_only_where_its_issuing_failed(
    data: dict[str, dict[str, str]], certificate: Any, told: tuple[str, str]
) -> None:
    assert _health(data, CERTIFICATE, certificate) == told


# Configuration that is merged into what is there


def test_what_is_merged_is_named_after_the_service_or_a_health_check(
    files: dict[str, bytes], data: dict[str, dict[str, str]]
) -> None:
    for name in CONFIG:
        tree = _config(files, name)
        assert (tree["kind"], tree["metadata"]["name"]) == ("ConfigMap", name)
        assert all(isinstance(value, str) for value in tree["data"].values())
    assert set(data["argocd-cm"]) == {
        "accounts.tenantry",
        "server.rbac.disableApplicationFineGrainedRBACInheritance",
        f"resource.customizations.health.{SEALED_SECRET}",
        f"resource.customizations.health.{CERTIFICATE}",
    }
    assert set(data["argocd-rbac-cm"]) == {"policy.tenantry.csv"}
    own = {"service.webhook.tenantry", "template.tenant-moved", "trigger.on-tenant-moved"}
    assert set(data["argocd-notifications-cm"]) == own


def test_the_account_may_see_sync_and_delete_applications_and_nothing_else(
    data: dict[str, dict[str, str]],
) -> None:
    lines = data["argocd-rbac-cm"]["policy.tenantry.csv"].splitlines()
    rules = [tuple(part.strip() for part in line.split(",")) for line in lines]
    role = "role:tenantry"
    assert {rule[2:] for rule in rules if rule[:2] == ("p", role)} == {
        ("applications", "get", f"{PROJECT}/*", "allow"),
        ("applications", "sync", f"{PROJECT}/*", "allow"),
        ("applications", "delete", f"{PROJECT}/*", "allow"),
        ("applicationsets", "get", f"{PROJECT}/*", "allow"),
    }
    assert [rule for rule in rules if rule[0] != "p"] == [("g", "tenantry", role)]
    assert len(rules) == 5


def test_who_is_subscribed_is_told_by_a_template_that_is_there(
    data: dict[str, dict[str, str]], sets: list[Any]
) -> None:
    config = data["argocd-notifications-cm"]
    annotations = sets[0]["spec"]["template"]["metadata"]["annotations"]
    (subscription,) = (key for key in annotations if key.startswith("notifications.argoproj.io/"))
    trigger, service = re.fullmatch(r".*/subscribe\.([^.]+)\.([^.]+)", subscription).groups()  # type: ignore[union-attr]
    conditions = yaml.safe_load(config[f"trigger.{trigger}"])
    assert {name for condition in conditions for name in condition["send"]} == {"tenant-moved"}
    assert service in yaml.safe_load(config["template.tenant-moved"])["webhook"]
    assert f"service.webhook.{service}" in config


def test_every_health_and_end_of_a_sync_is_told(data: dict[str, dict[str, str]]) -> None:
    conditions = yaml.safe_load(data["argocd-notifications-cm"]["trigger.on-tenant-moved"])
    told = set(re.findall(r"'(\w+)'", " ".join(condition["when"] for condition in conditions)))
    assert told == {
        *("Running", "Succeeded", "Failed", "Error"),
        *("Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown"),
    }


def test_a_message_is_json_and_holds_nothing_that_a_person_typed(
    data: dict[str, dict[str, str]],
) -> None:
    webhook = yaml.safe_load(data["argocd-notifications-cm"]["template.tenant-moved"])["webhook"]
    request = webhook["tenantry"]
    assert (request["method"], request["path"]) == ("POST", "/hooks/argocd")
    body = re.sub(r"\{\{.*?\}\}", "x", request["body"])
    assert json.loads(body) == dict.fromkeys(("application", "health", "sync", "phase"), "xxx") | {
        "application": "x"
    }
    assert set(re.findall(r"\.app[.\w]*|\.status", request["body"])) == {
        *(".app.metadata.name", ".app.status.health", ".app.status.sync"),
        *(".app.status.operationState", ".status"),
    }


def test_the_webhooks_secrets_are_references(data: dict[str, dict[str, str]]) -> None:
    service = yaml.safe_load(data["argocd-notifications-cm"]["service.webhook.tenantry"])
    headers = {header["name"]: header["value"] for header in service["headers"]}
    assert service["url"] == "$tenantry-url"
    assert headers["Authorization"] == "Bearer $tenantry-token"
