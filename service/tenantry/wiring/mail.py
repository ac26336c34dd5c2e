"""How mail leaves, and what it says."""

from __future__ import annotations

from tenantry import assets
from tenantry.adapters.mail import Mailbox, MailFolder, is_address
from tenantry.adapters.product_folder import (
    read_mail_templates,
)
from tenantry.adapters.smtp import PORTS, SmtpServer
from tenantry.adapters.smtp import Access as MailAccess
from tenantry.core.errors import SettingsError
from tenantry.core.product import Product
from tenantry.flows.mailing.templates import check_templates
from tenantry.settings import Settings
from tenantry.wiring.cells import reader


def mailbox(settings: Settings) -> Mailbox:
    """What takes mail; SettingsError where customers of production would wait for it in vain."""
    if settings.smtp_host is None:
        if settings.is_production and settings.mail_dir is None:
            raise SettingsError(
                "mail would go to files, and customers would wait for it",
                remedy="set TENANTRY_SMTP_HOST; or TENANTRY_MAIL_DIR, where files are meant",
            )
        return MailFolder(settings.mail, sender=settings.mail_from)
    return SmtpServer(_mail_access(settings, settings.smtp_host), sender=settings.mail_from)


def _mail_access(settings: Settings, host: str) -> MailAccess:
    if (settings.smtp_username is None) != (settings.smtp_password_file is None):
        raise SettingsError(
            "a mail server's user name and password come together",
            remedy="set both TENANTRY_SMTP_USERNAME and TENANTRY_SMTP_PASSWORD_FILE, or neither",
        )
    if settings.smtp_username is not None and settings.smtp_security == "none":
        raise SettingsError(
            "the mail server's password would be sent for all to read",
            remedy="set TENANTRY_SMTP_SECURITY to starttls or tls",
        )
    return MailAccess(
        host=host,
        port=settings.smtp_port or PORTS[settings.smtp_security],
        security=settings.smtp_security,
        username=settings.smtp_username,
        password=reader(settings.smtp_password_file),
        ca_file=settings.smtp_ca_file,
        timeout=settings.smtp_timeout,
    )


def support_mail(settings: Settings, product: Product) -> str | None:
    """Who is told of what customers cannot mend; None where nobody is. What a product names as its
    support may be a page.
    """
    if settings.support_mail or not product.support or not is_address(product.support):
        return settings.support_mail
    return product.support


def mail_templates(settings: Settings) -> dict[str, str]:
    """The vendor's mail, and ours where the vendor has none of a kind; checked: ProductError with
    file, line and hint for what is not usable.
    """
    texts = read_mail_templates(assets.path("tenant_templates"))
    texts |= read_mail_templates(settings.product_dir)
    check_templates(texts)
    return texts
