"""What an operator sets: read from the environment, and with `environment` nowhere else.

Every setting is a variable `TENANTRY_<NAME>`; those of a cell are `TENANTRY_CELLS__<CELL>__<NAME>`.
Secrets are given as files, so that none stands in an environment; the database's URL, which often
holds a password, may be given either way. `docs/settings.md` is made from this file.
"""

from __future__ import annotations

from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as NotParsed

from tenantry import assets
from tenantry.adapters.mail import is_address
from tenantry.adapters.smtp import LONGEST_ANSWER
from tenantry.cell_settings import CellSettings, Seconds
from tenantry.core.billing import Scheme
from tenantry.core.errors import SettingsError
from tenantry.core.limits import Limits, parse_limit
from tenantry.core.public_url import parse_public_url
from tenantry.environment import not_json
from tenantry.settings_base import SettingsBase

__all__ = ["TOOLS", "CellSettings", "Settings", "load", "read_secret"]

# Where `make tools` puts programs in a checkout; in an installation they are on PATH.
TOOLS = Path(__file__).parent.parent.parent / ".tools" / "bin"

CellName = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$")]

# Per e-mail, per address, in total. A person who mistypes stays below the first, an office behind
# one address below the second; the third keeps a flood from filling repository and cluster.
_PRODUCTION_LIMITS = ("5/hour", "20/hour", "600/hour")
_PRODUCTION_LOGIN_LIMITS = ("10/hour", "50/hour")  # per e-mail, per address
_NO_LIMITS = ("none", "none", "none")


class Settings(SettingsBase, BaseSettings):
    """All settings. Defaults are the embedded ones, fit for development on one machine."""

    model_config = SettingsConfigDict(env_prefix="TENANTRY_", env_nested_delimiter="__")

    environment: Literal["development", "production"] = Field(
        "development", description="production refuses to start with missing or development keys"
    )
    data_dir: Path = Field(Path("data"), description="database, clones, keys and mail by default")
    database_url: SecretStr | None = Field(
        None, description="sqlite:///PATH or postgresql+psycopg://…; default: SQLite in data_dir"
    )
    database_url_file: Path | None = Field(None, description="file that holds the database URL")
    product_dir: Path = Field(
        default_factory=lambda: assets.path("tenant_templates"),
        description="the product: product.yaml, platform/, overlay/, mail/",
    )
    keys_dir: Path | None = Field(
        None, description="license-key.pem, public-key.pem, vault.keys; default: data_dir/keys"
    )
    license_algorithm: Literal["EdDSA", "RS256"] = Field(
        "EdDSA", description="of keys that are made in development"
    )
    public_url: str = Field(
        "http://localhost:3100", description="where customers reach this service"
    )
    host: str = Field("127.0.0.1", description="address that `tenantry serve` listens at")
    port: int = Field(3100, ge=0, le=65_535, description="port that `tenantry serve` listens at")
    web_processes: int = Field(2, ge=1, le=64, description="processes of `tenantry serve`")
    web_threads: int = Field(8, ge=1, le=256, description="threads in each of them")
    mail_dir: Path | None = Field(None, description=".eml files go here; default: data_dir/mail")
    mail_from: str = Field("Tenantry <no-reply@localhost>", description="sender of mail")
    smtp_host: str | None = Field(
        None, description="mail server; default: none, and mail goes to mail_dir"
    )
    smtp_port: int | None = Field(
        None, ge=1, le=65_535, description="its port; default: 587, with tls 465, with none 25"
    )
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="how the connection is encrypted; none sends no password"
    )
    smtp_username: str | None = Field(None, description="user that logs in there")
    smtp_password_file: Path | None = Field(
        None, description="file with the password; read at each connection"
    )
    smtp_ca_file: Path | None = Field(
        None, description="CA certificates to trust for the mail server, instead of the system's"
    )
    smtp_timeout: Annotated[float, Field(gt=0, le=LONGEST_ANSWER)] = Field(
        30.0, description="seconds for each of a server's answers: a dozen for a letter"
    )
    min_password_length: int = Field(8, ge=8, le=64, description="shortest password at signup")
    signup_limit_email: str | None = Field(
        None,
        description="signups for one e-mail, such as 5/hour, or none; default: 5/hour in "
        "production, none in development",
    )
    signup_limit_address: str | None = Field(
        None,
        description="signups from one IPv4 address or IPv6 /56; default: 20/hour in "
        "production, none in development",
    )
    signup_limit_total: str | None = Field(
        None, description="signups in all; default: 600/hour in production, none in development"
    )
    login_limit_email: str | None = Field(
        None,
        description="logins for one e-mail from one network, and the same of mails to set a "
        "password; ten times that from anywhere; default: 10/hour in production, none in "
        "development",
    )
    login_limit_address: str | None = Field(
        None,
        description="the same from one IPv4 address or IPv6 /56; default: 50/hour in production, "
        "none in development",
    )
    confirm_email: bool = Field(
        False, description="an instance is set up once its customer's address is confirmed"
    )
    approve_signups: bool = Field(
        False, description="an instance is set up once an operator has approved its customer"
    )
    trusted_proxies: int = Field(
        0,
        ge=0,
        le=10,
        description="proxies in front that append to X-Forwarded-For: a client's "
        "address is the entry of the outermost; 0: none, the connection's counts",
    )
    company_in_git: bool = Field(
        True,
        description="new tenants' files in Git, and so Argo CD's pages, name the company; else the "
        "customer's id stands there",
    )
    publish_batch: int = Field(
        200, ge=1, le=5000, description="most tenants that customers wait for in one push"
    )
    bulk_batch: int = Field(
        250, ge=1, le=5000, description="most tenants of a bulk change in one push"
    )
    publish_pause: Seconds = Field(0.5, description="least seconds from one push to the next")
    publish_poll: Seconds = Field(0.1, description="seconds between looks for work to publish")
    shards_poll: Seconds = Field(
        30.0, description="seconds between looks for what people merged, that shards must follow"
    )
    review_poll: Seconds = Field(
        10.0, description="seconds between looks for what reviewers did; a webhook makes it at once"
    )
    watch_poll: Seconds = Field(
        1.0,
        description="seconds between lists while tenants are on the way and Argo CD's stream is "
        "not heard",
    )
    watch_idle: Seconds = Field(15.0, description="seconds between lists otherwise")
    watch_silence: Annotated[float, Field(gt=0, le=31_536_000)] = Field(
        60.0,
        description="seconds without an answer of Argo CD after which people are told that what is "
        "shown was seen last before; more than lists are apart",
    )
    watch_requests: int = Field(
        8, ge=1, le=64, description="requests to a cell's Argo CD and instances under way at once"
    )
    probe_poll: Seconds = Field(
        300.0, description="seconds between requests to an instance that is ready"
    )
    settle_after: Seconds = Field(
        10.0, description="seconds that a ready tenant is bad, or a bad one good, before it is told"
    )
    ready_within: Seconds = Field(
        300.0, description="seconds after which a deployment is late, and what keeps it is mended"
    )
    sync_attempts: int = Field(
        3, ge=0, le=20, description="syncs asked for before a deployment counts as failed"
    )
    sync_backoff: Seconds = Field(
        30.0, description="seconds after the first of them; doubled after each"
    )
    failed_policy: Literal["keep", "suspend"] = Field(
        "suspend", description="what becomes of a first deployment that failed"
    )
    failed_keep: float = Field(
        86_400.0, gt=0, description="seconds that it is kept as it is, to be looked at"
    )
    support_mail: str | None = Field(
        None,
        description="who is told of failed deployments; default: the product's support, where that "
        "is a mail address",
    )
    metrics_token_file: Path | None = Field(
        None,
        description="file with the bearer token for /metrics; default: none, and only this machine "
        "is answered, nobody where public_url is https",
    )
    billing_secret_file: Path | None = Field(
        None, description="file with the secret that signs the payment provider's webhooks"
    )
    billing_scheme: Scheme = Field(
        Scheme.STRIPE, description="of those: stripe, or hmac for anything else"
    )
    lifecycle_poll: Seconds = Field(
        5.0, description="seconds between looks for subscriptions that have something due"
    )
    mail_poll: Seconds = Field(1.0, description="seconds between looks for mail to send")
    log_format: Literal["json", "text"] = Field("json", description="form of log lines")
    clock_file: Path | None = Field(
        None,
        description="development only: file that says by how many seconds the time is ahead of "
        "the real one, as `tenantry demo --clock-speed` writes it",
    )
    cells: dict[CellName, CellSettings] = Field(
        default_factory=lambda: {"main": CellSettings()},
        min_length=1,
        description="cells by name; new tenants go to the first",
    )

    @property
    def database(self) -> str:
        """The database's URL."""
        if self.database_url_file:
            return read_secret(self.database_url_file)
        if self.database_url:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute()}/tenantry.db"

    @property
    def keys(self) -> Path:
        """The folder of keys."""
        return self.keys_dir or self.data_dir / "keys"

    @property
    def mail(self) -> Path:
        """The folder of mail that was 'sent' in development."""
        return self.mail_dir or self.data_dir / "mail"

    @field_validator("clock_file")
    @classmethod
    def _is_no_production(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file and info.data.get("environment") == "production":
            raise ValueError("production has the real time: do not set it")
        return file

    @field_validator("watch_silence")
    @classmethod
    def _outlasts_lists(cls, silence: float, info: ValidationInfo) -> float:
        apart = max(info.data.get(name, 0) for name in ("watch_idle", "watch_poll"))
        if silence <= apart:
            raise ValueError(
                f"has to be more than the {apart:g} s that lists are apart: raise it, or lower "
                "TENANTRY_WATCH_IDLE or TENANTRY_WATCH_POLL"
            )
        return silence

    @field_validator("public_url")
    @classmethod
    def _joins_with_paths(cls, url: str) -> str:
        return parse_public_url(url)

    @field_validator("mail_from")
    @classmethod
    def _is_a_sender(cls, sender: str) -> str:
        if not is_address(parseaddr(sender)[1]):
            raise ValueError("is no sender, such as Acme <no-reply@example.com>")
        return sender

    @field_validator("support_mail")
    @classmethod
    def _takes_mail(cls, address: str | None) -> str | None:
        if address is not None and not is_address(address):
            raise ValueError("is no mail address, such as oncall@example.com")
        return address

    @field_validator(
        "signup_limit_email",
        "signup_limit_address",
        "signup_limit_total",
        "login_limit_email",
        "login_limit_address",
    )
    @classmethod
    def _is_limit(cls, text: str | None) -> str | None:
        if text is not None:
            parse_limit(text)
        return text

    @property
    def signup_limits(self) -> Limits:
        """What signups are limited by (R8)."""
        usual = _PRODUCTION_LIMITS if self.is_production else _NO_LIMITS
        given = (self.signup_limit_email, self.signup_limit_address, self.signup_limit_total)
        return Limits(*(parse_limit(text or u) for text, u in zip(given, usual, strict=True)))

    @property
    def login_limits(self) -> Limits:
        """What logins, and mails that somebody asks for, are limited by (R8)."""
        usual = _PRODUCTION_LOGIN_LIMITS if self.is_production else _NO_LIMITS[:2]
        given = (self.login_limit_email, self.login_limit_address)
        return Limits(*(parse_limit(text or u) for text, u in zip(given, usual, strict=True)))

    @property
    def is_production(self) -> bool:
        """Whether customers depend on it."""
        return self.environment == "production"


def load(**overrides: Any) -> Settings:
    """The settings from the environment; SettingsError that names each variable to mend."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        findings = "; ".join(_finding(entry["loc"], entry["msg"]) for entry in error.errors())
        raise SettingsError(findings, remedy="see docs/settings.md") from None
    except NotParsed:
        findings = "; ".join(f"{name}: is not JSON" for name in not_json())
        raise SettingsError(findings, remedy="see docs/settings.md") from None


def _finding(location: tuple[int | str, ...], message: str) -> str:
    name = "__".join(str(part) for part in location).upper()
    return f"TENANTRY_{name}: {message}"


def read_secret(path: Path) -> str:
    """The stripped text of a secret's file; SettingsError where it cannot be read or is empty."""
    remedy = "mount the secret there, readable by this user"
    try:
        text = path.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}", remedy=remedy) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not text", remedy=remedy) from None
    if not text:
        raise SettingsError(f"{path}: is empty", remedy=remedy)
    return text
