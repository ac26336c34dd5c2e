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
from tenantry.adapters.seal import CORES, PlainSecret, SealingCertificate
from tenantry.core.errors import VaultError
from tenantry.core.model import TenantSpec
from tenantry.core.product import Source
from tenantry.flows.rows import in_order
from tenantry.flows.service import Cell, Service

SAMPLE = 10  # licenses from either end, to try the vault with

# (customer id, secret key or license id) -> wrapped value
Wrapped = Mapping[tuple[str, str], bytes]


@dataclass(frozen=True)
class Missing:
    """A tenant, and the keys of its secret that have no current ciphertext."""

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

    Raises SealingError; then nothing was stored.
    """
    certificate = cell.certificate()
    with service.database.read() as session:
        kept = _kept(session, specs, certificate)
        missing = [_missing(spec, kept[spec.customer_id]) for spec in specs]
        missing = [each for each in missing if each.keys]
        plain, refused = _open(service, session, missing)
        is_vault_whole = not refused or _is_vault_whole(service, session)
    sealing = [each for each in missing if each.spec.customer_id in plain]
    if sealing:
        values = [plain[each.spec.customer_id] for each in sealing]
        fresh = service.kubeseal.seal(values, certificate, now=service.now(), cores=cores)
        kept |= _store(service, sealing, fresh, certificate)
    return Sealed(kept, refused, is_vault_whole)


def _missing(spec: TenantSpec, kept: Mapping[str, str]) -> Missing:
    return Missing(spec, tuple(sorted(spec.secret_versions.keys() - kept.keys())))


def _kept(
    session: Session, specs: Sequence[TenantSpec], certificate: SealingCertificate
) -> dict[str, dict[str, str]]:
    versions = {spec.customer_id: spec.secret_versions for spec in specs}
    rows = select(
        SealedValue.customer_id, SealedValue.key, SealedValue.version, SealedValue.ciphertext
    ).where(
        SealedValue.customer_id.in_(versions), SealedValue.certificate == certificate.fingerprint
    )
    kept: dict[str, dict[str, str]] = {customer_id: {} for customer_id in versions}
    for customer_id, key, version, ciphertext in session.execute(rows):
        if versions[customer_id].get(key) == version:
            kept[customer_id][key] = ciphertext
    return kept


def _open(
    service: Service, session: Session, missing: Sequence[Missing]
) -> tuple[dict[str, PlainSecret], dict[str, VaultError]]:
    """By customer: the values to seal, or why there are none. Two queries for all of them."""
    wrapped = _wrapped(session, missing)
    opened: dict[str, PlainSecret] = {}
    refused: dict[str, VaultError] = {}
    for each in missing:
        spec = each.spec
        try:
            values = {key: _value(service, spec, key, wrapped) for key in each.keys}
        except VaultError as error:
            refused[spec.customer_id] = error
        else:
            opened[spec.customer_id] = PlainSecret(spec.name, service.product.secret.name, values)
    return opened, refused


def _wrapped(session: Session, missing: Sequence[Missing]) -> Wrapped:
    customer_ids = [each.spec.customer_id for each in missing]
    license_ids = [each.spec.license_id for each in missing]
    secrets = select(Secret.customer_id, Secret.key, Secret.wrapped).where(
        Secret.customer_id.in_(customer_ids)
    )
    tokens = select(LicenseRow.customer_id, LicenseRow.license_id, LicenseRow.wrapped).where(
        LicenseRow.license_id.in_(license_ids)
    )
    rows = [*session.execute(secrets), *session.execute(tokens)]
    return {(customer_id, name): wrapped for customer_id, name, wrapped in rows}


def _value(service: Service, spec: TenantSpec, key: str, wrapped: Wrapped) -> str:
    if key not in service.product.secret.keys:
        raise VaultError(f"the product has no secret {key}")
    source = service.product.secret.keys[key].source
    if source == Source.PUBLIC_KEYS:
        return service.keyring.bundle()
    if source == Source.CUSTOMER_ID:
        return spec.customer_id
    stored = (spec.customer_id, spec.license_id if source == Source.LICENSE else key)
    if stored not in wrapped:
        raise VaultError(f"there is no stored value for {key}")
    return service.vault.unwrap(wrapped[stored])


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


def _store(
    service: Service,
    missing: Sequence[Missing],
    fresh: Sequence[Mapping[str, str]],
    certificate: SealingCertificate,
) -> dict[str, dict[str, str]]:
    """Keep what was sealed, and return what is kept now: two processes may seal the same value,
    and the one that is first here decides for both.
    """
    specs = [each.spec for each in missing]
    customer_ids = [spec.customer_id for spec in specs]
    with service.database.write() as session:
        session.execute(in_order(select(Tenant.customer_id), customer_ids))
        kept = _kept(session, specs, certificate)
        rows = [
            {
                "customer_id": each.spec.customer_id,
                "key": key,
                "version": each.spec.secret_versions[key],
                "certificate": certificate.fingerprint,
                "ciphertext": value,
            }
            for each, ciphertext in zip(missing, fresh, strict=True)
            for key, value in ciphertext.items()
            if key not in kept[each.spec.customer_id]
        ]
        upsert(session, SealedValue, rows)
    for row in rows:
        kept[row["customer_id"]][row["key"]] = row["ciphertext"]
    return kept
