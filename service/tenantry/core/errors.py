"""Every error that Tenantry raises on purpose: one tree, in one file, to be read as a whole.

The class docstring is the default message. An error knows what a caller must know: its `code`
(stable, machine-readable), whether it is `permanent` (trying again is pointless until something
changes) and, where there is one, the `remedy`: what a person should do. What a customer is shown
for each is decided in one place, `tenantry.web.errors`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


class TenantryError(Exception):
    """Something went wrong."""

    code = "error"
    permanent = True

    def __init__(
        self,
        message: str | None = None,
        *,
        remedy: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.remedy = remedy
        self.retry_after = retry_after  # seconds; None: no advice
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


# What a person sent us


class InvalidInput(TenantryError):
    """The request is not valid."""

    code = "invalid_input"

    def __init__(self, message: str, *, field: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        if code:
            self.code = code


class RateLimited(TenantryError):
    """Too many signups; try again later."""

    code = "rate_limited"
    permanent = False


class TooManyAttempts(RateLimited):
    """Too many attempts; try again later."""

    code = "too_many_attempts"


class RequestRunning(TenantryError):
    """A request with this Idempotency-Key is still running."""

    code = "idempotency_running"
    permanent = False


class KeyReused(TenantryError):
    """This Idempotency-Key was used with another request."""

    code = "idempotency_key_reused"


class EmailTaken(TenantryError):
    """An account with this email already exists"""

    code = "email_taken"


class Forbidden(TenantryError):
    """The form was not sent from a page of this session."""

    code = "forbidden"


class NotFound(TenantryError):
    """There is nothing here."""

    code = "not_found"


class ChangeRefused(TenantryError):
    """The change cannot be made."""

    code = "change_refused"


# What an operator has switched off for a while


class SwitchedOff(TenantryError):
    """An operator has switched this off."""

    code = "switched_off"
    permanent = False


class SignupsClosed(SwitchedOff):
    """Signups are closed."""

    code = "signups_closed"


class PublishPaused(SwitchedOff):
    """Publishing is paused: nothing is pushed."""

    code = "publish_paused"


class ReadOnlyService(SwitchedOff):
    """The service is read-only: nothing is written."""

    code = "read_only_service"


# What an operator or vendor set up


class SettingsError(TenantryError):
    """The settings are not usable."""

    code = "settings"


class KeysMissing(SettingsError):
    """A key that the service needs is not there."""

    code = "keys_missing"


class ProductError(TenantryError):
    """The product's files are not usable."""

    code = "product"

    def __init__(
        self, message: str, *, file: str, line: int | None = None, hint: str | None = None
    ) -> None:
        where = f"{file}:{line}" if line else file
        super().__init__(f"{where}: {message}", remedy=hint)
        self.file, self.line, self.hint = file, line, hint


# Programs


class ProgramError(TenantryError):
    """A program that the service runs failed."""

    code = "program_failed"
    permanent = False


class ProgramMissing(ProgramError):
    """A program that the service needs is not installed."""

    code = "program_missing"
    permanent = True


class ProgramStopped(ProgramError):
    """A program was ended from outside, as the system does where memory is short. That says nothing
    of what it was given.
    """

    code = "program_stopped"


class ProgramTimeout(ProgramStopped):
    """A program did not end in time and was stopped."""

    code = "program_timeout"


# From tenant to Git


class OverlayRefused(TenantryError):
    """The rendered overlay did not pass its checks; nothing was published."""

    code = "overlay_refused"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("overlay refused: " + "; ".join(problems))
        self.problems = tuple(problems)


class PlatformRefused(TenantryError):
    """The platform version cannot be published; nothing was changed."""

    code = "platform_refused"

    def __init__(self, problems: Sequence[str], *, remedy: str | None = None) -> None:
        super().__init__("; ".join(problems), remedy=remedy)
        self.problems = tuple(problems)


class VolumesShrink(TenantryError):
    """A volume cannot become smaller."""

    code = "volumes_shrink"


class SealingError(TenantryError):
    """The secrets could not be sealed; nothing was published."""

    code = "sealing"
    permanent = False


class VaultError(TenantryError):
    """A stored value could not be unwrapped with the vault's keys."""

    code = "vault"


class KeysChanged(VaultError):
    """The public keys are others now than the tenant is to get."""

    code = "keys_changed"
    permanent = False


class RepositoryError(TenantryError):
    """The tenants repository did not do what was asked."""

    code = "repository"
    permanent = False


class NotPushed(RepositoryError):
    """The push did not land."""

    def __init__(
        self,
        message: str | None = None,
        *,
        remedy: str | None = None,
        branches: Collection[str] = (),
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.branches = frozenset(branches)  # beside main, that it may be because of


class PushRejected(NotPushed):
    """The tenants repository moved on; read it again and rebuild."""

    code = "push_rejected"


class PushRefused(NotPushed):
    """The tenants repository's server does not take the push."""

    code = "push_refused"


class HistoryRewritten(RepositoryError):
    """The tenants repository is not the one that was published to: its history was rewritten."""

    code = "history_rewritten"
    permanent = True


class WrongRepository(RepositoryError):
    """The repository is not one for tenants."""

    code = "wrong_repository"
    permanent = True


class LeaseLost(RepositoryError):
    """Another worker publishes to this repository now."""

    code = "lease_lost"


class HandEdited(TenantryError):
    """The tenant's folder was edited by hand; it is kept until an operator decides."""

    code = "hand_edited"


# License


class LicenseInvalid(TenantryError):
    """The license is not valid."""

    code = "license_invalid"


# Neighbors


class DatabaseUnavailable(TenantryError):
    """The database did not do what was asked."""

    code = "database_unavailable"
    permanent = False


class ArgoError(TenantryError):
    """Argo CD did not answer as expected."""

    code = "argocd"
    permanent = False


class ArgoUnreachable(ArgoError):
    """Argo CD cannot be reached."""

    code = "argocd_unreachable"


class ArgoTokenBad(ArgoError):
    """Argo CD does not accept the token."""

    code = "argocd_token"


class ArgoForbidden(ArgoError):
    """Argo CD does not allow this to the service's account."""

    code = "argocd_forbidden"


class ForgeError(TenantryError):
    """The forge did not answer as expected."""

    code = "forge"
    permanent = False


class ForgeUnreachable(ForgeError):
    """The forge cannot be reached."""

    code = "forge_unreachable"


class ForgeTokenBad(ForgeError):
    """The forge does not accept the token."""

    code = "forge_token"


class ForgeForbidden(ForgeError):
    """The forge does not allow this to the token's account."""

    code = "forge_forbidden"


class ForgeBusy(ForgeError):
    """The forge asks for fewer requests; `retry_after` says how long to wait."""

    code = "forge_busy"


class ForgeNotFound(ForgeError):
    """The forge has no such repository or pull request."""

    code = "forge_not_found"


class ForgeRefused(ForgeError):
    """The forge does not take the request as it is."""

    code = "forge_refused"


class MailError(TenantryError):
    """The mail could not be handed over."""

    code = "mail"
    permanent = False


class MailUnreachable(MailError):
    """The mail server does not answer, or does not let us in: no letter is to blame."""

    code = "mail_unreachable"


class MailRefused(MailError):
    """The mail server does not take this letter."""

    code = "mail_refused"
    permanent = True


class RecipientRefused(MailRefused):
    """No mail reaches this address."""

    code = "recipient_refused"
