"""What values are sealed with now, and whose ciphertext is of something else.

The credentials that images are pulled with are the cell's, not the tenant's: what is kept of them
is their digest by the vault's key, so that their change is noticed and nothing of them is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenantry.adapters.database.tables import SealedValue
from tenantry.adapters.seal import SealingCertificate
from tenantry.adapters.vault import Vault
from tenantry.core.model import TenantSpec
from tenantry.core.pull_secret import KEY as PULL_KEY
from tenantry.core.secret import Secret
from tenantry.flows.service import Cell, Service


@dataclass(frozen=True)
class Sealer:
    """What the values of a cell's tenants are sealed with now."""

    certificate: SealingCertificate
    credentials: str | None = field(repr=False)  # for images; None: the product asks for none
    vault: Vault
    secret: Secret  # of the product

    @classmethod
    def of(cls, service: Service, cell: Cell) -> Sealer:
        """SettingsError where certificate or credentials cannot be used."""
        credentials = cell.registry_credentials() if service.product.pull_secret else None
        return cls(cell.certificate(), credentials, service.vault, service.product.secret)

    def keys(self, spec: TenantSpec) -> set[str]:
        """What must be sealed for a tenant."""
        return {
            *self.secret.complete(spec.secret_versions),
            *([PULL_KEY] if self.credentials else []),
        }

    def version(self, spec: TenantSpec, key: str) -> str:
        """What is kept of a value, to know it again by."""
        if key == PULL_KEY and self.credentials:
            return self.vault.digest(PULL_KEY, self.credentials)
        return self.secret.complete(spec.secret_versions)[key]

    def is_current(self, spec: TenantSpec, key: str, version: str) -> bool:
        """Whether what was sealed as this version is what the tenant shall have."""
        if key == PULL_KEY:
            return self.knows(version)
        return self.secret.complete(spec.secret_versions).get(key) == version

    def knows(self, version: str) -> bool:
        """Whether this is the version of the cell's credentials."""
        return self.credentials is not None and self.vault.recognizes(
            PULL_KEY, self.credentials, version
        )

    def read_outdated(self, session: Session, customer_ids: Sequence[str]) -> set[str]:
        """Those of the customers that hold ciphertext of another certificate or of other
        credentials, or lack these.
        """
        theirs = SealedValue.customer_id.in_(customer_ids)
        rows = select(SealedValue.customer_id).where(theirs).distinct()
        other = rows.where(
            SealedValue.certificate != self.certificate.fingerprint, SealedValue.key != PULL_KEY
        )
        outdated = set(session.scalars(other))
        if self.credentials is None:
            return outdated
        pulls = select(SealedValue.customer_id, SealedValue.version).where(
            theirs, SealedValue.key == PULL_KEY
        )
        current = {each for each, version in session.execute(pulls) if self.knows(version)}
        return outdated | (set(session.scalars(rows)) - current)
