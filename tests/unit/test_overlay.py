"""A tenant's files: the same from the same input, and of no other shape whatever a person typed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tenantry.core.document import load
from tenantry.core.errors import OverlayRefused, ProductError
from tenantry.core.model import State
from tenantry.core.overlay import CellFacts, Templates, load_templates, show_time
from tenantry.core.record import read_record
from tests.overlays import CELL, HOSTILE, golden, product, rendered, sealed, spec, vendor

FILES = {
    "kustomization.yaml",
    "namespace.yaml",
    "sealed-secret.yaml",
    "ingress.yaml",
    "tenant.json",
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_files_are_as_stored(name: str) -> None:
    content = rendered(spec())[name]
    assert content.decode() == golden(f"tenant/{name}", content).decode()


def test_the_files_are_these_and_the_same_every_time() -> None:
    assert set(rendered(spec())) == FILES
    assert rendered(spec()) == rendered(spec())


@pytest.mark.parametrize("company", HOSTILE)
def test_a_company_name_is_in_the_record_and_nowhere_else(company: str) -> None:
    plain, hostile = rendered(spec(company="Test Corp")), rendered(spec(company=company))
    assert {name for name in FILES if plain[name] != hostile[name]} <= {"tenant.json"}
    record, problems = read_record(hostile["tenant.json"], "tenant.json")
    assert (record and record.company, problems) == (company, [])
    # ApplicationSets read it as YAML
    assert load(hostile["tenant.json"], "tenant.json")["company"] == company


@pytest.mark.parametrize("company", list("\x85\u2028\u2029\x00\x1b\ud83d\r"))
def test_a_company_name_that_no_file_can_hold_is_refused(company: str) -> None:
    with pytest.raises(OverlayRefused, match=r"U\+"):
        rendered(spec(company=company))


def test_the_record_is_sorted_json_in_real_utf8() -> None:
    content = rendered(spec(company="😀"))["tenant.json"].decode()
    fields = json.loads(content)
    assert list(fields) == ["company", "customer_id", "host", "name", "plan", "platform", "state"]
    assert '"company": "😀"' in content


def test_a_renewal_touches_the_sealed_secret_and_one_annotation() -> None:
    before, ciphertext = spec(), sealed()
    versions = {**before.secret_versions, "IOTISTIC_LICENSE_KEY": "2"}
    after = before.model_copy(update={"license_id": "next", "secret_versions": versions})
    old = rendered(before)
    renewed = {**ciphertext, "IOTISTIC_LICENSE_KEY": ciphertext["CUSTOMER_ID"]}
    new = rendered(after, ciphertext=renewed)
    assert {name for name in FILES if old[name] != new[name]} == {
        "sealed-secret.yaml",
        "kustomization.yaml",
    }
    assert _changed(old, new, "kustomization.yaml") == [
        'tenantry.dev/license-version: "0190e12f-lic"',
        'tenantry.dev/license-version: "next"',
    ]
    assert len(_changed(old, new, "sealed-secret.yaml")) == 2


def test_a_rotated_secret_touches_the_other_annotation() -> None:
    before = spec()
    after = spec(secret_versions={**before.secret_versions, "JWT_SECRET": "2"})
    changed = _changed(rendered(before), rendered(after), "kustomization.yaml")
    assert [line.split(":")[0] for line in changed] == ["tenantry.dev/secrets-version"] * 2


def _changed(old: dict[str, bytes], new: dict[str, bytes], name: str) -> list[str]:
    pairs = zip(old[name].decode().splitlines(), new[name].decode().splitlines(), strict=True)
    return [line.strip() for pair in pairs if pair[0] != pair[1] for line in pair]


def test_a_sealed_value_more_is_no_part_of_it() -> None:
    files = rendered(spec(), ciphertext={**sealed(), "MORE": "x"})
    assert b"MORE" not in files["sealed-secret.yaml"]


@pytest.mark.parametrize("has_local", [True, False])
def test_the_components_are_plan_state_and_local_in_that_order(has_local: bool) -> None:
    tenant = spec(plan="enterprise", state=State.SUSPENDED)
    tree = load(rendered(tenant, has_local=has_local)["kustomization.yaml"], "f")
    assert tree["components"] == [
        "../../../platform/v1/plans/enterprise",
        "../../../platform/v1/states/suspended",
        *(["local"] if has_local else []),
    ]


def test_ingress_is_made_for_the_cell() -> None:
    cell = CellFacts("traefik", {"b/y": "1", "a/x": "true"}, "internal-ca", "traefik")
    tree = load(rendered(spec(), cell=cell)["ingress.yaml"], "f")
    assert tree["spec"]["ingressClassName"] == "traefik"
    assert list(tree["metadata"]["annotations"].items()) == [  # in one order, whatever a setting's
        ("a/x", "true"),
        ("b/y", "1"),
        ("cert-manager.io/cluster-issuer", "internal-ca"),
    ]
    host = "cust-bcdfghjkmn.example.com"
    assert tree["spec"]["tls"] == [{"hosts": [host], "secretName": "cust-bcdfghjkmn-tls"}]
    paths = tree["spec"]["rules"][0]["http"]["paths"]
    assert [(path["path"], path["backend"]["service"]) for path in paths] == [  # R23
        ("/api", {"name": "api", "port": {"number": 3001}}),
        ("/grafana", {"name": "grafana", "port": {"number": 3000}}),
        ("/mqtt", {"name": "nginx", "port": {"number": 80}}),
        ("/healthz", {"name": "nginx", "port": {"number": 80}}),
        ("/", {"name": "admin", "port": {"number": 80}}),
    ]


def test_one_certificate_for_all_hosts_needs_no_issuer_and_no_secret() -> None:
    tree = load(rendered(spec(), cell=replace(CELL, cluster_issuer=""))["ingress.yaml"], "f")
    assert set(tree["metadata"]["annotations"]) == set(CELL.ingress_annotations)
    assert tree["spec"]["tls"] == [{"hosts": ["cust-bcdfghjkmn.example.com"]}]


def test_traffic_comes_from_the_controllers_namespace_and_from_listed_addresses() -> None:
    cell = replace(CELL, ingress_namespace="traefik", ingress_cidrs=("10.1.0.0/16", "fd00::/8"))
    tree = load(rendered(spec(), cell=cell)["kustomization.yaml"], "f")
    (patch,) = [each for each in tree["patches"] if "ingress-controller" in str(each["target"])]
    assert load(patch["patch"], "f")[0]["value"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "traefik"}}},
        {"ipBlock": {"cidr": "10.1.0.0/16"}},
        {"ipBlock": {"cidr": "fd00::/8"}},
    ]


def test_namespace_carries_what_the_specification_asks_for() -> None:
    metadata = load(rendered(spec())["namespace.yaml"], "f")["metadata"]
    assert (
        metadata["labels"].items()
        >= {
            "app.kubernetes.io/managed-by": "tenantry",
            "customer-id": "cust-bcdfghjkmn",
            "environment": "production",
        }.items()
    )
    assert metadata["annotations"]["created-at"] == "2026-11-22T17:09:08Z"


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 1, 1, 12, tzinfo=UTC),
        datetime(2026, 1, 1, 12),  # noqa: DTZ001 - as some databases give it
        datetime(2026, 1, 1, 14, 0, 0, 999, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_times_are_shown_in_utc(moment: datetime) -> None:
    assert show_time(moment) == "2026-01-01T12:00:00Z"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("{{ tenant.name }}", "{{ tenant.nam }}", "has no attribute 'nam'"),
        ("{{ tenant.name }}", "{{ tenant.company }}", "has no attribute 'company'"),
        ("{{ tenant.name }}", "{{ tenant.name", "unexpected end of template"),
        ("{{ tenant.name }}", "{{ tenant.name if tenant.volumes else none }}", "could be nothing"),
        ("{{ tenant.name }}", "{{ tenant.volumes.get('x') }}", "could be nothing"),
        ("kind: Namespace", "kind: Namespace\nkind: Namespace", "appears twice"),
        ("kind: Namespace", "kind: [", "is not YAML"),
    ],
)
def test_a_broken_template_is_found_when_it_is_loaded(old: str, new: str, says: str) -> None:
    text = vendor().templates.files["namespace.yaml"]
    assert old in text
    files = {**vendor().templates.files, "namespace.yaml": text.replace(old, new, 1)}
    with pytest.raises(ProductError) as caught:
        load_templates(files, product())
    assert says in str(caught.value)
    assert caught.value.file == "overlay/namespace.yaml"
    assert caught.value.line is not None
    assert caught.value.hint


def test_the_kustomization_template_is_needed() -> None:
    with pytest.raises(ProductError, match=r"kustomization\.yaml"):
        load_templates({"namespace.yaml": "a: 1"}, product())


def test_a_claim_that_the_plan_does_not_have_is_found_at_load() -> None:
    files = dict(vendor().templates.files)
    files["kustomization.yaml"] = files["kustomization.yaml"].replace("['postgres-data']", "['x']")
    with pytest.raises(ProductError, match="'x'"):
        load_templates(files, product())


def test_fingerprint_changes_with_a_text() -> None:
    files = dict(vendor().templates.files)
    same, other = (
        load_templates(files, product()),
        load_templates(
            {**files, "namespace.yaml": files["namespace.yaml"] + "# a comment\n"}, product()
        ),
    )
    assert isinstance(same, Templates)
    assert same.fingerprint == vendor().templates.fingerprint != other.fingerprint


def test_a_key_that_holds_an_expression_is_refused() -> None:
    ingress = vendor().templates.files["ingress.yaml"] + '"{{ tenant.name }}": x\n'
    files = {**vendor().templates.files, "ingress.yaml": ingress}
    with pytest.raises(ProductError, match=r"ingress\.yaml: the key '{{ tenant\.name }}' is never"):
        load_templates(files, product())
