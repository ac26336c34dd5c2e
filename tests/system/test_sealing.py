"""Values of the database become ciphertext: only what changed, and opening to the same values."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from sqlalchemy import select
from structlog.testing import capture_logs

from tenantry.adapters import process
from tenantry.adapters.database.tables import Audit, Deployment, SealedValue, Secret, Tenant
from tenantry.adapters.seal import Kubeseal, PlainSecret, SealingCertificate, parse_certificate
from tenantry.adapters.vault import Vault
from tenantry.core.errors import SealingError, VaultError
from tenantry.core.model import LicenseAction, TenantSpec
from tenantry.core.secret import Source
from tenantry.core.terms import LicenseDates, Term
from tenantry.flows import keys
from tenantry.flows.licensing.issuing import issue_license
from tenantry.flows.publishing import ahead
from tenantry.flows.publishing.ahead import sealing_ahead
from tenantry.flows.publishing.publish import publish_due
from tenantry.flows.publishing.sealing import sealed_values
from tenantry.flows.service import Cell, Service
from tenantry.flows.signups.signup import SignedUp
from tests.invariants import check_invariants
from tests.migrated import on_sqlite
from tests.programs import require
from tests.system.world import PASSWORD, VECTORS, World, make_world

pytestmark = on_sqlite


THROWAWAY_KEY = VECTORS / "throwaway-key.pem"
VALUE = "what must not be logged"


class Counting(Kubeseal):
    """The real kubeseal, and what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[set[str]] = []

    def seal(
        self, secrets: Sequence[PlainSecret], certificate: SealingCertificate, **options: Any
    ) -> list[dict[str, str]]:
        self.asked += [set(secret.values) for secret in secrets]
        return super().seal(secrets, certificate, **options)


class Failing(Kubeseal):
    """Seals nothing."""

    def seal(self, *_: Any, **__: Any) -> list[dict[str, str]]:
        raise SealingError("not today")


def spec_of(world: World, signed_up: SignedUp) -> TenantSpec:
    return TenantSpec.model_validate(world.tenant(signed_up.customer_id).approved)


def seal(service: Service, cell: Cell, *specs: TenantSpec) -> dict[str, dict[str, str]]:
    sealed = sealed_values(service, cell, specs)
    return {spec.name: dict(sealed.of(spec)) for spec in specs}


def kept(world: World) -> dict[tuple[str, str], tuple[str, str]]:
    with world.service.database.read() as session:
        return {
            (row.customer_id, row.key): (row.version, row.ciphertext)
            for row in session.scalars(select(SealedValue))
        }


def keys_from(world: World, source: Source) -> set[str]:
    items = world.service.product.secret.keys.items()
    return {name for name, key in items if key.source == source}


def unseal(document: str, key: Path) -> dict[str, str]:
    """What the cluster's controller would put into the Secret, by kubeseal alone."""
    opened = process.run(
        [require("kubeseal"), "--recovery-unseal", "--recovery-private-key", str(key),
         "--format", "yaml"],
        stdin=document.encode(),
        deadline=20,
    ).require_success()  # fmt: skip
    data: Mapping[str, str] = yaml.safe_load(opened.stdout)["data"]
    return {name: base64.b64decode(value).decode() for name, value in data.items()}


def on_main(world: World, signed_up: SignedUp) -> str:
    return world.git("show", f"main:{world.folder_of(signed_up.customer_id)}/sealed-secret.yaml")


def stored_values(world: World, signed_up: SignedUp) -> dict[str, str]:
    """The secret's values as signup left them in the database."""
    with world.service.database.read() as session:
        rows = session.scalars(select(Secret).where(Secret.customer_id == signed_up.customer_id))
        values = {row.key: world.service.vault.unwrap(row.wrapped) for row in rows}
    (license_key,) = keys_from(world, Source.LICENSE)
    (bundle,) = keys_from(world, Source.PUBLIC_KEYS)
    (customer_id,) = keys_from(world, Source.CUSTOMER_ID)
    (revocations,) = keys_from(world, Source.REVOCATIONS)
    return values | {
        revocations: "none",
        license_key: signed_up.license_token,
        bundle: world.service.keyring.bundle(),
        customer_id: signed_up.customer_id,
    }


def renew(world: World, signed_up: SignedUp) -> str:
    """Another license for the tenant, as a renewal makes it; its token."""
    now = world.clock()
    days = [now.replace(microsecond=0) + timedelta(days=days) for days in (30, 33, 23)]
    with world.service.database.write() as session:
        tenant = session.get_one(Tenant, signed_up.customer_id)
        spec = TenantSpec.model_validate(tenant.approved)
        issued = issue_license(
            world.service,
            session,
            customer_id=spec.customer_id,
            tenant=spec.name,
            plan=spec.plan,
            term=Term(
                "paid", LicenseDates(expires_at=days[0], grace_until=days[1], warn_at=days[2])
            ),
            action=LicenseAction.RENEWED,
            actor="test",
            now=now,
        )
        changed = {"license_id": issued.license_id} | {
            "secret_versions": spec.secret_versions
            | dict.fromkeys(keys_from(world, Source.LICENSE), issued.license_id)
        }
        tenant.approved = spec.model_copy(update=changed).model_dump(mode="json")
        tenant.generation += 1
        generation = tenant.generation
        session.add(Deployment(customer_id=spec.customer_id, generation=generation, wanted_at=now))
        session.add(
            Audit(at=now, actor="test", action="license.renewed", customer_id=spec.customer_id,
                  details={})
        )  # fmt: skip
    return issued.token


def test_what_stands_on_main_opens_to_the_values_of_the_database(world: World) -> None:
    customers = [world.sign_up(), world.sign_up()]
    world.publish()
    opened = [unseal(on_main(world, each), THROWAWAY_KEY) for each in customers]
    assert opened == [stored_values(world, each) for each in customers]
    (random, *_) = sorted(keys_from(world, Source.RANDOM))
    assert opened[0][random] != opened[1][random]


def test_nothing_changed_seals_nothing_and_keeps_every_byte(world: World) -> None:
    signed_up = world.sign_up()
    world.publish()
    counting, before = Counting(), kept(world)
    spec = spec_of(world, signed_up)
    found = seal(replace(world.service, kubeseal=counting), world.cell, spec)
    assert counting.asked == []
    assert kept(world) == before
    assert found == {spec.name: {key: value for (_, key), (_, value) in before.items()}}


def test_renewed_license_is_sealed_anew_and_alone(world: World) -> None:
    signed_up, other = world.sign_up(), world.sign_up()
    world.publish()
    before, old = kept(world), yaml.safe_load(on_main(world, signed_up))
    token = renew(world, signed_up)
    counting = Counting()
    publish_due(replace(world.service, kubeseal=counting), world.cell)
    (license_key,) = keys_from(world, Source.LICENSE)
    assert counting.asked == [{license_key}]
    changed = {place for place, value in kept(world).items() if before[place] != value}
    assert changed == {(signed_up.customer_id, license_key)}
    new = yaml.safe_load(on_main(world, signed_up))["spec"]["encryptedData"]
    same = {key for key, value in new.items() if old["spec"]["encryptedData"][key] == value}
    assert same == new.keys() - {license_key}
    assert unseal(on_main(world, signed_up), THROWAWAY_KEY) == (
        stored_values(world, signed_up) | {license_key: token}
    )
    assert unseal(on_main(world, other), THROWAWAY_KEY) == stored_values(world, other)


def test_new_tenant_in_a_batch_leaves_the_others_as_they_are(world: World) -> None:
    old = world.sign_up()
    world.publish()
    before, counting = kept(world), Counting()
    new = world.sign_up()
    specs = [spec_of(world, old), spec_of(world, new)]
    found = seal(replace(world.service, kubeseal=counting), world.cell, *specs)
    assert counting.asked == [set(world.service.product.secret.keys)]
    assert before.items() <= kept(world).items()
    assert found[specs[0].name] == {key: value for (_, key), (_, value) in before.items()}


def other_certificate(folder: Path) -> Callable[[], SealingCertificate]:
    """As the cluster has after its keys were renewed, or lost."""
    keys.make_sealing_pair(folder, datetime(2026, 11, 1, tzinfo=UTC))
    pem = (folder / keys.SEALING_CERTIFICATE).read_text()
    return lambda: parse_certificate(pem)


def test_other_certificate_seals_every_value_anew_and_changes_none(world: World) -> None:
    signed_up = world.sign_up()
    world.publish()
    before, values = kept(world), stored_values(world, signed_up)
    cell = replace(world.cell, certificate=other_certificate(world.folder))
    renew(world, signed_up)
    publish_due(world.service, cell)
    after = kept(world)
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    opened = unseal(on_main(world, signed_up), world.folder / keys.SEALING_KEY)
    (license_key,) = keys_from(world, Source.LICENSE)
    assert opened.keys() == values.keys()
    assert {key for key in values if opened[key] != values[key]} == {license_key}
    with pytest.raises(Exception, match="decrypt"):
        unseal(on_main(world, signed_up), THROWAWAY_KEY)


def test_certificate_alone_changes_nothing_until_a_tenant_is_due(world: World) -> None:
    world.sign_up()
    world.publish()
    head = world.git("rev-parse", "main")
    cell = replace(world.cell, certificate=other_certificate(world.folder))
    assert publish_due(world.service, cell).tenants == {}
    assert world.git("rev-parse", "main") == head


def test_failure_stores_nothing_and_publishes_nothing(world: World) -> None:
    signed_up = world.sign_up()
    with pytest.raises(SealingError, match="not today"):
        publish_due(replace(world.service, kubeseal=Failing()), world.cell)
    assert kept(world) == {}
    assert world.git("for-each-ref") == ""
    world.clock.time += timedelta(minutes=1)  # past the wait after a failure
    assert world.publish().tenants.keys() == {signed_up.customer_id}


def test_failure_of_a_renewal_keeps_what_was_sealed(world: World) -> None:
    signed_up = world.sign_up()
    world.publish()
    before, head = kept(world), world.git("rev-parse", "main")
    renew(world, signed_up)
    with pytest.raises(SealingError):
        publish_due(replace(world.service, kubeseal=Failing()), world.cell)
    assert (kept(world), world.git("rev-parse", "main")) == (before, head)
    world.clock.time += timedelta(minutes=1)  # past the wait after a failure
    world.publish()
    assert kept(world) != before


def test_kubeseal_that_drops_a_document_stores_nothing(world: World, tmp_path: Path) -> None:
    liar = tmp_path / "kubeseal"
    liar.write_text(f"#!/bin/sh\n{shutil.which('kubeseal')} \"$@\" | sed '/^}}$/q'\n")
    liar.chmod(0o755)
    signed_up = [world.sign_up(), world.sign_up()]
    with pytest.raises(SealingError, match="documents for 2"):
        publish_due(replace(world.service, kubeseal=Kubeseal(str(liar))), world.cell)
    assert kept(world) == {}
    world.clock.time += timedelta(minutes=1)  # past the wait after a failure
    assert len(world.publish().tenants) == len(signed_up)


def test_what_comes_next_is_sealed_ahead_and_not_again(world: World) -> None:
    signed_up = [world.sign_up() for _ in range(2)]
    counting = Counting()
    service = replace(world.service, kubeseal=counting)
    (now,) = publish_due(replace(service, publish_batch=1), world.cell).tenants
    (then,) = [each for each in signed_up if each.customer_id != now]
    assert {customer_id for customer_id, _ in kept(world)} == {now, then.customer_id}
    publish_due(service, world.cell)
    assert len(counting.asked) == 2
    assert unseal(on_main(world, then), THROWAWAY_KEY) == stored_values(world, then)


def test_what_fails_ahead_is_left_to_its_own_turn(world: World) -> None:
    signed_up = world.sign_up()
    service = replace(world.service, kubeseal=Failing())
    with sealing_ahead(service, world.cell, [signed_up.customer_id]):
        assert kept(world) == {}
    assert world.publish().tenants.keys() == {signed_up.customer_id}


def test_crash_ahead_is_logged_without_the_values_it_quotes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyError(VALUE)

    signed_up = world.sign_up()
    monkeypatch.setattr(ahead, "sealed_values", crash)
    with (
        capture_logs() as entries,
        sealing_ahead(world.service, world.cell, [signed_up.customer_id]),
    ):
        pass
    (entry,) = entries
    assert entry["event"] == "sealing.ahead_crashed"
    assert VALUE not in str(entry)


def test_lost_vault_key_stores_nothing_and_says_so(world: World) -> None:
    signed_up = world.sign_up()
    stranger = replace(world.service, vault=Vault(["A" * 43 + "="]))
    with pytest.raises(VaultError, match="must stay in the ring"):
        seal(stranger, world.cell, spec_of(world, signed_up))
    assert kept(world) == {}
    world.publish()


def test_vault_key_put_first_still_opens_what_was_wrapped_before(world: World) -> None:
    signed_up = world.sign_up()
    folder = world.folder / "data" / "keys"
    text = (folder / keys.VAULT_KEYS).read_text()
    (folder / keys.VAULT_KEYS).write_text("A" * 43 + "=\n" + text)
    rotated = replace(world.service, vault=keys.load_vault(folder, production=False))
    publish_due(rotated, world.cell)
    assert unseal(on_main(world, signed_up), THROWAWAY_KEY) == stored_values(world, signed_up)


def test_licenses_in_rs256_reach_the_product_with_the_key_that_verifies_them(
    tmp_path: Path, database_url: str
) -> None:
    world = make_world(tmp_path, database_url, license_algorithm="RS256")
    signed_up = world.sign_up()
    world.publish()
    opened = unseal(on_main(world, signed_up), THROWAWAY_KEY)
    (license_key,) = keys_from(world, Source.LICENSE)
    (bundle,) = keys_from(world, Source.PUBLIC_KEYS)
    header = jwt.get_unverified_header(opened[license_key])
    assert (header["alg"], header["typ"]) == ("RS256", "license+jwt")
    claims = jwt.decode(
        opened[license_key],
        opened[bundle],
        algorithms=["RS256"],
        audience=world.service.product.name,
        options={"verify_iat": False, "verify_nbf": False},
    )
    assert claims["sub"] == signed_up.customer_id
    (published,) = world.service.keyring.jwks()["keys"]
    assert (published["alg"], published["kid"]) == ("RS256", header["kid"])
    check_invariants(world.service, canaries=[PASSWORD])
    world.service.database.close()
