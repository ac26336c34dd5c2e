"""What a reviewer reads: whole texts, byte for byte, of real tenants as Kustomize builds them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tenantry import settings, wiring
from tenantry.adapters.database.tables import Customer, LicenseRow
from tenantry.core import naming
from tenantry.core.model import State, TenantSpec
from tenantry.core.review import ChangeKind
from tenantry.core.review_entry import Content
from tenantry.flows.reviewing.describe import describe, look
from tenantry.flows.reviewing.subject import Subject
from tenantry.flows.service import Service
from tests.overlays import ciphertext, golden, product, rendered, spec
from tests.programs import require

KEY = "bcdfghjkmn"
LICENSED, SOON, LATER = "license-1", datetime(2026, 12, 6, 9, tzinfo=UTC), "license-2"
HOSTILE = "<b>@acme/all</b> | #1 `x` [y](http://z) www.z.com"
LIMIT = 65_536  # GitHub's
LABEL = b"  labels:\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    require("kustomize")
    folder = tmp_path_factory.mktemp("reviews")
    (folder / "token").write_text("token")
    cell = {
        "repository_url": str(folder / "tenants.git"),
        "domain": "example.com",
        "instance_url": "https://{host}",
        "argocd_url": "https://argocd.example.com",
        "argocd_token_file": folder / "token",
    }
    made = wiring.build(settings.load(data_dir=folder, cells={"main": cell}))
    _issue(made)
    yield made
    made.database.close()


def _issue(service: Service) -> None:
    """A license for the customer; of the one to come there is no row yet."""
    customer = naming.customer_id(KEY)
    facts: dict[str, Any] = dict.fromkeys(
        ("email", "email_key", "company_name", "time_zone", "password_hash", "status_token_hash"),
        "",
    )
    with service.database.write() as session:
        session.add(Customer(customer_id=customer, created_at=SOON, **facts))
        session.flush()
        session.add(
            LicenseRow(
                license_id=LICENSED,
                customer_id=customer,
                plan="starter",
                kind="trial",
                key_id="key",
                token_hash="",
                wrapped=b"",
                issued_at=SOON,
                expires_at=SOON,
                grace_until=SOON,
            )
        )


def files(service: Service, tenant: TenantSpec, *, license_seed: str = "") -> dict[str, bytes]:
    """The tenant's folder; only the license's ciphertext goes by the seed."""
    sealed = {key: ciphertext(key) for key in product().sealed_keys}
    sealed |= {"IOTISTIC_LICENSE_KEY": ciphertext(f"license{license_seed}")}
    facts = service.new_tenants_cell.facts
    return rendered(tenant, ciphertext=sealed, cell=facts)


def new(service: Service, key: str = KEY, **changes: Any) -> Subject:
    tenant = spec(key, license_id=LICENSED, **changes)
    made = files(service, tenant)
    return Subject(tenant.customer_id, [ChangeKind.SIGNUP], ["signup"], None, tenant, {}, made)


def changed(service: Service, kind: ChangeKind, **changes: Any) -> Subject:
    before = spec(KEY, license_id=LICENSED)
    after = spec(KEY, **{"license_id": LICENSED, **changes})
    seed = after.license_id.removeprefix(LICENSED)
    return Subject(
        customer_id=after.customer_id,
        kinds=[kind],
        actors=["operator"],
        before=before,
        after=after,
        files_before=files(service, before),
        files_after=files(service, after, license_seed=seed),
    )


def many(service: Service) -> list[Subject]:
    companies = [HOSTILE, *(f"Company {number}" for number in range(2, 21))]
    keys = (KEY[:-1] + letter for letter in naming.ALPHABET)
    return [
        new(service, key, company=company) for key, company in zip(keys, companies, strict=False)
    ]


def edited(service: Service) -> Subject:
    """The same tenant with a label more, by a reviewer's hand, and a component of its own."""
    subject = changed(service, ChangeKind.PLAN, plan="professional", license_id=LATER)
    name = "namespace.yaml"
    content = subject.files_after[name].replace(LABEL, LABEL + b'    team: "east"\n', 1)
    return replace_files(subject, {name: content}, edited=[name])


def replace_files(
    subject: Subject, more: Mapping[str, bytes], *, edited: Sequence[str] = ()
) -> Subject:
    return Subject(
        **{**vars(subject), "files_after": {**subject.files_after, **more}, "edited": edited}
    )


def bodies(service: Service) -> Iterator[tuple[str, list[Subject]]]:
    yield "new-tenant", [new(service)]
    yield "signups", many(service)
    yield "plan", [changed(service, ChangeKind.PLAN, plan="professional", license_id=LATER)]
    yield "suspension", [changed(service, ChangeKind.STATE, state=State.SUSPENDED)]
    yield "edited", [edited(service)]


@pytest.mark.parametrize("name", ["new-tenant", "signups", "plan", "suspension", "edited"])
def test_the_text_of(name: str, service: Service) -> None:
    subjects = dict(bodies(service))[name]
    found = describe(service, service.new_tenants_cell, subjects, limit=LIMIT)
    text = f"{found.title}\n\n{found.body}\n"
    assert text == golden(f"{name}.md", text.encode(), folder="reviews").decode()
    assert not re.search(r"[A-Za-z0-9+/]{100}", text)  # no ciphertext


def seen(service: Service, *subjects: Subject) -> list[Content]:
    return [entry.content for entry in look(service, service.new_tenants_cell, subjects)]


def changed_objects(content: Content) -> list[str | None]:
    return [difference.new for difference in content.differences]


def test_of_a_new_tenant_only_what_is_special_is_shown(service: Service) -> None:
    sizes = {**product().plans["starter"].volumes, "grafana-data": "9Gi"}
    (content,) = seen(service, new(service, volumes=sizes))
    assert changed_objects(content) == ["PersistentVolumeClaim/grafana-data"]
    (one,) = content.differences
    assert "+      storage: 9Gi" in one.lines
    assert not content.problems


def test_a_tenant_with_something_of_its_own_is_no_measure_for_others(service: Service) -> None:
    first, second = many(service)[:2]
    name = "namespace.yaml"
    label = {name: first.files_after[name].replace(LABEL, LABEL + b'    team: "east"\n', 1)}
    contents = seen(service, replace_files(first, label), second)
    assert changed_objects(contents[0]) == [f"Namespace/{first.after.name}"]
    assert changed_objects(contents[1]) == []


def test_each_tenant_of_a_batch_is_checked(service: Service) -> None:
    *sound, broken = many(service)[:3]
    other = {"namespace.yaml": sound[0].files_after["namespace.yaml"]}
    contents = seen(service, *sound, replace_files(broken, other))
    assert [bool(content.problems) for content in contents] == [False, False, True]


def test_what_does_not_build_is_a_problem_and_no_difference(service: Service) -> None:
    subject = changed(service, ChangeKind.PLAN, plan="professional", license_id=LATER)
    (content,) = seen(service, replace_files(subject, {"kustomization.yaml": b"resources: [no]\n"}))
    assert content.problems
    assert content.differences == ()
