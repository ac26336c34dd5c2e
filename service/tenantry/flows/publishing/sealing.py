"""The ciphertext of tenants' secrets: sealed once per value and certificate, then kept.

Sealing again gives other bytes, so a value is sealed again only when its version or the cell's
certificate changed. The values themselves are opened here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.session import upsert
from tenantry.adapters.database.tables import LicenseRow, SealedValue, Secret, Tenant
from tenantry.adapters.seal import CORES, PlainSecret
from tenantry.core.errors import KeysChanged, VaultError
from tenantry.core.model import TenantSpec
from tenantry.core.pull_secret import KEY as PULL_KEY
from tenantry.core.secret import Source
from tenantry.flows.licensing.bundle import bundle_versions
from tenantry.flows.licensing.revocations import Revocations, own_list, read_revoked
from tenantry.flows.publishing.sealer import Sealer
from tenantry.flows.rows import in_order
from tenantry.flows.service import Cell, Service

SAMPLE = 10  # licenses from either end, to try the vault with


@dataclass(frozen=True)
class Stored:
    """What the values to be sealed are made of."""

    wrapped: Mapping[tuple[str, str], bytes]  # by customer id, and secret key or license id
    revoked: Revocations


@dataclass(frozen=True)
class Missing:
    """A tenant, and the keys of its secrets that have no current ciphertext."""

    spec: TenantSpec
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Sealed:
    """Ciphertext by key for each customer, and why some have none."""

    ciphertexts: Mapping[str, Mapping[str, str]]
    refused: Mapping[str, VaultError]
    is_vault_whole: bool  # if it is not, who was refused need not be to blame

    def of(self, spec: TenantSpec) -> Mapping[str, str]:
        """The tenant's ciphertext; VaultError where its values could not be opened."""
        if spec.customer_id in self.refused:
            raise self.refused[spec.customer_id]
        return self.ciphertexts[spec.customer_id]


def sealed_values(
    service: Service, cell: Cell, specs: Sequence[TenantSpec], *, cores: int = CORES
) -> Sealed:
    """The tenants' ciphertext; what is missing or outdated is sealed, on so many cores, and stored.

    Raises SealingError, or SettingsError where the cell lacks what is sealed with or what is to be
    sealed; then nothing was stored.
    """
    sealer = Sealer.of(service, cell)
    with service.database.read() as session:
        kept = _kept(session, specs, sealer)
        missing = [_missing(spec, sealer, kept[spec.customer_id]) for spec in specs]
        missing = [each for each in missing if each.keys]
        plain, refused = _open(service, session, missing, sealer)
        is_vault_whole = not refused or _is_vault_whole(service, session)
    sealing = [each for each in missing if each.spec.customer_id in plain]
    if sealing:
        values = [secret for each in sealing for secret in plain[each.spec.customer_id]]
        fresh = _seal(service, values, sealer, cores)
        kept |= _store(service, sealing, fresh, sealer)
    return Sealed(kept, refused, is_vault_whole)


def _missing(spec: TenantSpec, sealer: Sealer, kept: Mapping[str, str]) -> Missing:
    return Missing(spec, tuple(sorted(sealer.keys(spec) - kept.keys())))


def _kept(
    session: Session, specs: Sequence[TenantSpec], sealer: Sealer
) -> dict[str, dict[str, str]]:
    by_customer = {spec.customer_id: spec for spec in specs}
    rows = select(
        SealedValue.customer_id, SealedValue.key, SealedValue.version, SealedValue.ciphertext
    ).where(
        SealedValue.customer_id.in_(by_customer),
        SealedValue.certificate == sealer.certificate.fingerprint,
    )
    kept: dict[str, dict[str, str]] = {customer_id: {} for customer_id in by_customer}
    for customer_id, key, version, ciphertext in session.execute(rows):
        if sealer.is_current(by_customer[customer_id], key, version):
            kept[customer_id][key] = ciphertext
    return kept


def _open(
    service: Service, session: Session, missing: Sequence[Missing], sealer: Sealer
) -> tuple[dict[str, list[PlainSecret]], dict[str, VaultError]]:
    """By customer: the values to seal, or why there are none. Three queries for all of them."""
    stored = _stored(session, missing)
    opened: dict[str, list[PlainSecret]] = {}
    refused: dict[str, VaultError] = {}
    for each in missing:
        spec = each.spec
        own = [key for key in each.keys if key != PULL_KEY]
        try:
            values = {key: _value(service, session, spec, key, stored) for key in own}
        except VaultError as error:
            refused[spec.customer_id] = error
        else:
            pulled = sealer.credentials if PULL_KEY in each.keys else None
            opened[spec.customer_id] = _secrets(service, spec, values, pulled)
    return opened, refused


def _secrets(
    service: Service, spec: TenantSpec, own: Mapping[str, str], credentials: str | None
) -> list[PlainSecret]:
    product = service.product
    found = [PlainSecret(spec.name, product.secret.name, own)] if own else []
    if product.pull_secret and credentials:
        found.append(PlainSecret(spec.name, product.pull_secret, {PULL_KEY: credentials}))
    return found


def _stored(session: Session, missing: Sequence[Missing]) -> Stored:
    customer_ids = [each.spec.customer_id for each in missing]
    license_ids = [each.spec.license_id for each in missing]
    secrets = select(Secret.customer_id, Secret.key, Secret.wrapped).where(
        Secret.customer_id.in_(customer_ids)
    )
    tokens = select(LicenseRow.customer_id, LicenseRow.license_id, LicenseRow.wrapped).where(
        LicenseRow.license_id.in_(license_ids)
    )
    rows = [*session.execute(secrets), *session.execute(tokens)]
    wrapped = {(customer_id, name): wrapped for customer_id, name, wrapped in rows}
    return Stored(wrapped, read_revoked(session, customer_ids))


def _value(service: Service, session: Session, spec: TenantSpec, key: str, stored: Stored) -> str:
    if key not in service.product.secret.keys:
        raise VaultError(f"the product has no secret {key}")
    source = service.product.secret.keys[key].source
    if source == Source.PUBLIC_KEYS:
        _require_keys(service, spec)
        return service.keyring.bundle()
    if source == Source.REVOCATIONS:
        _require_keys(service, spec)
        version = service.product.secret.complete(spec.secret_versions)[key]
        return own_list(service, session, stored.revoked.get(spec.customer_id, ()), version)
    if source == Source.CUSTOMER_ID:
        return spec.customer_id
    place = (spec.customer_id, spec.license_id if source == Source.LICENSE else key)
    if place not in stored.wrapped:
        raise VaultError(f"there is no stored value for {key}")
    return service.vault.unwrap(stored.wrapped[place])


def _require_keys(service: Service, spec: TenantSpec) -> None:
    """KeysChanged where the public keys are others now than those of the tenant's version."""
    if not bundle_versions(service).items() <= spec.secret_versions.items():
        raise KeysChanged(remedy="`tenantry keys rotate` gives all tenants the new ones")


def _is_vault_whole(service: Service, session: Session) -> bool:
    """Whether the vault opens most of what others have stored, old and new: one that lacks a key
    still opens what was wrapped since it is lacking.
    """
    rows = select(LicenseRow.wrapped).limit(SAMPLE)
    oldest = session.scalars(rows.order_by(LicenseRow.issued_at)).all()
    newest = session.scalars(rows.order_by(LicenseRow.issued_at.desc())).all()
    sample = [*oldest, *newest]
    return 2 * sum(_opens(service, each) for each in sample) > len(sample)


def _opens(service: Service, wrapped: bytes) -> bool:
    try:
        service.vault.unwrap(wrapped)
    except VaultError:
        return False
    return True


def _seal(
    service: Service, secrets: Sequence[PlainSecret], sealer: Sealer, cores: int
) -> dict[str, dict[str, str]]:
    """The ciphertext by key, of all of a tenant's secrets, by namespace."""
    sealed = service.kubeseal.seal(secrets, sealer.certificate, now=service.now(), cores=cores)
    fresh: dict[str, dict[str, str]] = {secret.namespace: {} for secret in secrets}
    for secret, ciphertext in zip(secrets, sealed, strict=True):
        fresh[secret.namespace] |= ciphertext
    return fresh


def _store(
    service: Service,
    missing: Sequence[Missing],
    fresh: Mapping[str, Mapping[str, str]],
    sealer: Sealer,
) -> dict[str, dict[str, str]]:
    """Keep what was sealed, and return what is kept now: two processes may seal the same value,
    and the one that is first here decides for both.
    """
    specs = [each.spec for each in missing]
    customer_ids = [spec.customer_id for spec in specs]
    with service.database.write() as session:
        session.execute(in_order(select(Tenant.customer_id), customer_ids))
        kept = _kept(session, specs, sealer)
        rows = [
            {
                "customer_id": spec.customer_id,
                "key": key,
                "version": sealer.version(spec, key),
                "certificate": sealer.certificate.fingerprint,
                "ciphertext": value,
            }
            for spec in specs
            for key, value in fresh[spec.name].items()
            if key not in kept[spec.customer_id]
        ]
        upsert(session, SealedValue, rows)
    for row in rows:
        kept[row["customer_id"]][row["key"]] = row["ciphertext"]
    return kept
