"""GitHub, GitLab and Gitea through one interface: the same cases for all, against fakes of them."""

from __future__ import annotations

import hashlib
import hmac
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tenantry import wiring
from tenantry.adapters.forge import Draft, Forge, PullState, make_forge
from tenantry.core.errors import (
    ForgeBusy,
    ForgeError,
    ForgeForbidden,
    ForgeNotFound,
    ForgeRefused,
    ForgeTokenBad,
    ForgeUnreachable,
    SettingsError,
)
from tenantry.doctor import examine
from tenantry.flows.attention import Finding
from tenantry.settings import CellSettings, Settings
from tests.forges import (
    BOT,
    KINDS,
    PROJECT,
    SECRET,
    TOKEN,
    WAIT,
    FakeForge,
    FakeGitHub,
    serve_forge,
)
from tests.ports import free_port

DRAFT = Draft("tenantry/cust-0123456789ab", "Acme: plan", "**Acme** → large\n\n@nobody")
LATER = Draft(DRAFT.branch, "Acme: plan and state", "more")


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@contextmanager
def at(fake: FakeForge, *, deadline: float = 20, **wishes: object) -> Iterator[Forge]:
    yield make_forge(
        fake.kind,
        url=fake.url,
        project=PROJECT,
        token=lambda: TOKEN,
        ca_file=None,
        deadline=deadline,
        **wishes,  # type: ignore[arg-type]
    )


@pytest.fixture
def fake(kind: str) -> Iterator[FakeForge]:
    with serve_forge(kind) as served:
        yield served


@pytest.fixture
def forge(fake: FakeForge) -> Iterator[Forge]:
    with at(fake) as made:
        yield made


# Pull requests


def test_opened_one_is_as_drafted(fake: FakeForge, forge: Forge) -> None:
    pull = forge.open(DRAFT)
    assert (pull.number, pull.branch, pull.state) == (1, DRAFT.branch, PullState.OPEN)
    assert pull.url.startswith(f"{fake.url}/{PROJECT}/")
    assert (pull.closed_by, pull.merge_commit) == ("", None)
    kept = fake.pulls[1]
    assert (kept.branch, kept.title, kept.body) == (DRAFT.branch, DRAFT.title, DRAFT.body)
    assert len(fake.asked) == 1


def test_wishes_are_fulfilled(fake: FakeForge) -> None:
    with at(fake, labels=["tenantry"], reviewers=["rita"], auto_merge=True) as forge:
        forge.open(DRAFT)
    kept = fake.pulls[1]
    assert (kept.labels, kept.reviewers, kept.is_auto_merged) == (["tenantry"], ["rita"], True)


@pytest.mark.parametrize("failure", ["403", "slow", "limit"])
def test_wish_that_cannot_be_had_is_logged_and_no_error(fake: FakeForge, failure: str) -> None:
    fake.fail_next = ["", failure]
    with at(fake, reviewers=["rita"], deadline=0.5) as forge, capture_logs() as logs:
        assert forge.open(DRAFT).state == PullState.OPEN
    (refused,) = (entry for entry in logs if entry["event"] == "forge.wish_refused")
    assert (refused["wish"], refused["pull"]) == ("reviewers", 1)
    assert fake.pulls[1].reviewers == []


def test_second_opener_brings_the_first_ones_up_to_date(fake: FakeForge, forge: Forge) -> None:
    fake.add("tenantry/other")
    forge.open(DRAFT)
    with at(fake, labels=["once"], reviewers=["rita"]) as other:
        assert other.open(LATER).number == 2
    assert sorted(fake.pulls) == [1, 2]
    assert (fake.pulls[2].title, fake.pulls[2].body) == (LATER.title, LATER.body)
    assert fake.pulls[2].reviewers == ["rita"]  # the first may have died before it asked


def test_refusal_of_another_kind_stays_one(fake: FakeForge, forge: Forge) -> None:
    fake.fail_next = ["422"]
    with pytest.raises(ForgeRefused, match="422"):
        forge.open(DRAFT)
    assert not fake.pulls


def test_update_brings_it_up_to_the_draft(fake: FakeForge, forge: Forge) -> None:
    forge.open(DRAFT)
    assert forge.update(1, LATER).state == PullState.OPEN
    assert (fake.pulls[1].title, fake.pulls[1].body) == (LATER.title, LATER.body)


def test_update_of_a_merged_one_is_refused(fake: FakeForge, forge: Forge) -> None:
    forge.open(DRAFT)
    fake.merge(1)
    with pytest.raises(ForgeRefused, match="merged"):
        forge.update(1, LATER)


def test_get_tells_who_ended_it_and_how(fake: FakeForge, forge: Forge) -> None:
    forge.open(DRAFT)
    fake.close(1, "rita")
    closed = forge.get(1)
    assert (closed.state, closed.closed_by) == (PullState.CLOSED, "rita")
    assert closed.merge_commit is None
    fake.reopen(1)
    assert forge.get(1).state == PullState.OPEN
    assert forge.get(1).merge_commit is None  # GitHub names one that it only tried
    fake.merge(1, "otto", "d" * 40)
    merged = forge.get(1)
    assert (merged.state, merged.closed_by) == (PullState.MERGED, "otto")
    assert (merged.merge_commit, merged.branch) == ("d" * 40, DRAFT.branch)


def test_recent_is_one_request_and_tells_no_forks(fake: FakeForge, forge: Forge) -> None:
    for number in range(60):
        fake.add(f"tenantry/{number}")
    fake.add("tenantry/7", is_of_fork=True)
    fake.merge(3)
    fake.close(5)
    found = forge.recent()
    assert len(fake.asked) == 1
    assert [(pull.number, pull.state) for pull in found[:2]] == [
        (5, PullState.CLOSED),
        (3, PullState.MERGED),
    ]
    assert 61 not in [pull.number for pull in found]
    assert len(found) >= 49


def test_comment_is_left(fake: FakeForge, forge: Forge) -> None:
    fake.add(DRAFT.branch)
    forge.comment(1, "moot")
    assert fake.pulls[1].comments == ["moot"]
    assert len(fake.asked) == 1


def test_close_closes_and_leaves_alone_what_is_ended(fake: FakeForge, forge: Forge) -> None:
    fake.add(DRAFT.branch)
    forge.close(1)
    assert (fake.pulls[1].state, fake.pulls[1].by) == ("closed", BOT)
    forge.close(1)
    fake.merge(1)
    forge.close(1)
    assert fake.pulls[1].state == "merged"


# Bad luck

CALLS: dict[str, Callable[[Forge], object]] = {
    "open": lambda forge: forge.open(DRAFT),
    "update": lambda forge: forge.update(1, LATER),
    "get": lambda forge: forge.get(1),
    "recent": lambda forge: forge.recent(),
    "close": lambda forge: forge.close(1),
    "examine": lambda forge: forge.examine(),
}
ERRORS: dict[str, tuple[type[ForgeError], float | None]] = {
    "401": (ForgeTokenBad, None),
    "401 echo": (ForgeTokenBad, None),
    "limit": (ForgeBusy, WAIT),
    "limit without end": (ForgeBusy, 60),
    "secondary limit": (ForgeBusy, 60),
    "limit by end alone": (ForgeBusy, 7),
    "403": (ForgeForbidden, None),
    "404": (ForgeNotFound, None),
    "500": (ForgeError, None),
    "html": (ForgeError, None),
    "html 502": (ForgeError, None),
    "other json": (ForgeError, None),
    "list": (ForgeError, None),
    "half": (ForgeError, None),
    "redirect": (ForgeError, None),
    "moved": (ForgeError, None),
}


@pytest.mark.parametrize("failure", ERRORS)
@pytest.mark.parametrize("call", ["open", "recent"])
def test_each_failure_is_one_error_after_one_request(
    fake: FakeForge, forge: Forge, failure: str, call: str
) -> None:
    fake.add("tenantry/some")
    fake.fail_next = [failure]
    expected, wait = ERRORS[failure]
    with pytest.raises(ForgeError) as caught:
        CALLS[call](forge)
    assert type(caught.value) is expected
    assert caught.value.retry_after == (pytest.approx(wait, abs=5) if wait else None)
    assert TOKEN not in str(caught.value)
    assert len(fake.asked) == 1  # neither repeated nor sent elsewhere


@pytest.mark.parametrize("failure", ["404", "limit", "half"])
@pytest.mark.parametrize("call", ["get", "update", "close", "examine"])
def test_other_calls_fail_alike(fake: FakeForge, forge: Forge, failure: str, call: str) -> None:
    fake.fail_next = [failure]
    with pytest.raises(ERRORS[failure][0]):
        CALLS[call](forge)


@pytest.mark.parametrize("failure", ["409", "422"])
def test_conflict_and_invalid_are_refusals(fake: FakeForge, forge: Forge, failure: str) -> None:
    fake.add(DRAFT.branch)
    fake.fail_next = [failure]
    with pytest.raises(ForgeRefused):
        forge.update(1, LATER)


def test_slow_one_is_unreachable_at_the_deadline(fake: FakeForge) -> None:
    fake.fail_next = ["slow"]
    with at(fake, deadline=0.2) as forge, pytest.raises(ForgeUnreachable, match="in time"):
        forge.recent()


def test_nobody_at_the_port_is_unreachable(kind: str) -> None:
    forge = make_forge(
        kind,
        url=f"http://127.0.0.1:{free_port()}",
        project=PROJECT,
        token=lambda: TOKEN,
        ca_file=None,
        deadline=5,
    )
    with pytest.raises(ForgeUnreachable, match="refused"):
        forge.recent()


# Doctor


def test_fit_account_lacks_nothing(forge: Forge) -> None:
    assert forge.examine() == []


def test_protected_main_archive_and_missing_right_are_told(fake: FakeForge, forge: Forge) -> None:
    fake.is_protected = fake.is_archived = True
    archived, protected = forge.examine()
    assert archived.startswith(("the repository is archived;", "the project is archived;"))
    assert protected.startswith("main is protected")
    fake.is_archived = fake.may_push = False
    (line,) = forge.examine()
    assert line.startswith("the token's account may not push;")


def test_examining_changes_nothing(fake: FakeForge, forge: Forge) -> None:
    forge.examine()
    assert {request.partition(" ")[0] for request in fake.asked} == {"GET"}


@pytest.mark.parametrize(
    ("bypass", "is_told"),
    [(("always",), False), (("pull_requests_only",), True), (("always", "never"), True)],
)
def test_github_rulesets_stop_who_may_not_always_bypass_them(
    bypass: tuple[str, ...], is_told: bool
) -> None:
    with serve_forge("github") as fake, at(fake) as forge:
        assert isinstance(fake, FakeGitHub)
        fake.rulesets = bypass
        assert bool(forge.examine()) == is_told


def test_github_protection_tells_what_stops_the_account_only() -> None:
    with serve_forge("github") as fake, at(fake) as forge:
        fake.is_protected = True
        (line,) = forge.examine()
    assert "(required reviews)" in line  # pushes are restricted to the account


# Webhooks of the fakes


def test_signature_is_over_the_whole_body(fake: FakeForge) -> None:
    fake.add(DRAFT.branch)
    headers, body = fake.webhook("closed", 1)
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    signs = {
        "github": ("X-Hub-Signature-256", f"sha256={digest}"),
        "gitlab": ("X-Gitlab-Token", SECRET),
        "gitea": ("X-Gitea-Signature", digest),
    }
    name, value = signs[fake.kind]
    assert headers[name] == value
    assert DRAFT.branch.encode() in body


# Set-up


@pytest.mark.parametrize("missing", ["github", "gitlab"])
def test_missing_library_is_named_with_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.startswith((f"{missing}.", f"tenantry.adapters.forge.{missing}")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)  # as if it was not installed
    assert wiring.forge("main", cell("gitea")) is not None
    with pytest.raises(SettingsError, match=rf"pip install 'tenantry\[{missing}\]'"):
        wiring.forge("main", cell(missing))


def cell(kind: str, **changes: object) -> CellSettings:
    facts = {
        "forge": kind,
        "repository_url": "https://git.example.com/acme/tenants.git",
        "git_token_file": Path("/nowhere/token"),
        **changes,
    }
    return CellSettings.model_validate(facts)


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com/acme/tenants.git",
        "git@git.example.com:acme/tenants.git",
        "ssh://git@git.example.com:2222/acme/tenants",
    ],
)
def test_place_is_that_of_the_repository(
    kind: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, object] = {}
    monkeypatch.setattr(wiring.hosts, "make_forge", lambda _, **given: made.update(given))
    wiring.forge("main", cell(kind, repository_url=url))
    assert (made["url"], made["project"]) == ("https://git.example.com", "acme/tenants")


def test_path_or_missing_token_is_named(kind: str) -> None:
    with pytest.raises(SettingsError, match="TENANTRY_CELLS__EU__FORGE_PROJECT"):
        wiring.forge("eu", cell(kind, repository_url="/srv/tenants.git"))
    with pytest.raises(SettingsError, match="TENANTRY_CELLS__EU__FORGE_TOKEN_FILE"):
        wiring.forge("eu", cell(kind, git_token_file=None))


def test_token_is_read_at_each_request(fake: FakeForge, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    forge = wiring.forge(
        "main",
        cell(kind=fake.kind, forge_url=fake.url, forge_project=PROJECT, forge_token_file=token),
    )
    assert forge is not None
    with pytest.raises(ForgeTokenBad):
        forge.recent()
    token.write_text(f"{TOKEN}\n")
    assert forge.recent() == []


def test_doctor_joins_what_is_lacking(fake: FakeForge, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    place = {"forge_url": fake.url, "forge_project": PROJECT}
    settings = Settings(
        data_dir=tmp_path,
        cells={"main": cell(fake.kind, **place, git_token_file=tmp_path / "token")},
    )

    def look() -> Finding:
        (found,) = (each for each in examine(settings) if each.id == "cell.main.forge")
        return found

    assert look().ok
    fake.is_protected = fake.is_archived = True
    assert not look().ok
    assert "archived" in look().message
    assert "main is protected" in look().message


def test_error_that_is_no_limit_asks_for_no_patience(fake: FakeForge) -> None:
    """Some forges say with every answer when a limit begins anew."""
    fake.fail_next = ["500 within a limit"]
    with at(fake) as forge, pytest.raises(ForgeError) as caught:
        forge.recent()
    assert not isinstance(caught.value, ForgeBusy)
    assert caught.value.retry_after is None
