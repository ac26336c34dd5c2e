"""The public keys that what is signed for a tenant is verified with, in its Secret (R12)."""

from __future__ import annotations

from tenantry.core.secret import Source
from tenantry.flows.service import Service


def bundle_versions(service: Service) -> dict[str, str]:
    """What the public keys are called now, by the keys of a tenant's Secret that hold them. What is
    signed for a tenant goes to it with these, or it could be signed by a key that is not among its
    own.
    """
    names = service.product.secret.keys_from(Source.PUBLIC_KEYS)
    return dict.fromkeys(names, service.keyring.bundle_version())
