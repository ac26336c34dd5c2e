"""Whether customers, those who help them and the payment provider are reached, for `tenantry
doctor`. Each says what it found; SettingsError where it will not do.
"""

from __future__ import annotations

from tenantry import wiring
from tenantry.core.errors import SettingsError
from tenantry.core.product import Product
from tenantry.core.public_url import is_https
from tenantry.settings import Settings
from tenantry.wiring.cells import reader


def customers(settings: Settings) -> str:
    """Where customers go, and what is mailed to them leads to."""
    url = settings.public_url
    if settings.is_production and not is_https(url):
        raise SettingsError(
            f"customers are led to {url}, and send their passwords for all to read",
            remedy="set TENANTRY_PUBLIC_URL to the https:// address of the proxy in front",
        )
    return f"customers are led to {url}"


def metrics(settings: Settings) -> str:
    """Who reads how the service fares. It may do without."""
    read = reader(settings.metrics_token_file)
    if read is not None:
        read()
        return "who has the token reads /metrics"
    readers = "nobody reads" if is_https(settings.public_url) else "this machine reads"
    return f"{readers} /metrics: TENANTRY_METRICS_TOKEN_FILE is not set"


def support(settings: Settings, product: Product) -> str:
    """Who is told of what customers cannot mend."""
    address = wiring.support_mail(settings, product)
    if address is None:
        raise SettingsError(
            "nobody is told of failed deployments", remedy="set TENANTRY_SUPPORT_MAIL"
        )
    return f"{address} is told of failed deployments"


def billing(settings: Settings, product: Product) -> str:
    """Where the payment provider tells what was paid. Development may do without."""
    provider = wiring.payment_provider(settings)
    if provider is not None:
        provider.secret()
        return f"{settings.public_url}/hooks/billing takes messages signed by {provider.scheme}"
    if settings.is_production and any(plan.payment_link for plan in product.plans.values()):
        raise SettingsError(
            "plans have payment links, and nothing tells what was paid",
            remedy="set TENANTRY_BILLING_SECRET_FILE",
        )
    return "no payment provider tells what was paid"
