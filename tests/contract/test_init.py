"""`tenantry init`: a tenants repository that works, from nothing and from what is there."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tenantry import assets, settings, wiring
from tenantry.adapters.database import schema
from tenantry.adapters.git import TenantsRepository, create_bare
from tenantry.cli.check import check
from tenantry.cli.init import init
from tenantry.cli.next_steps import next_steps
from tenantry.core import shards
from tenantry.core.errors import LeaseLost, PlatformRefused, PushRefused, WrongRepository
from tenantry.devcluster.applicationset import load_sets
from tenantry.devcluster.project import load_project
from tenantry.flows.initializing import Initialized, Site, Wishes, initialize
from tenantry.flows.publishing import turn
from tests.programs import require

FILES = [
    ".github/workflows/check.yml",
    ".gitlab-ci.yml",
    "CODEOWNERS",
    "README.md",
    "argocd/applicationsets.yaml",
    "argocd/appproject.yaml",
    "argocd/config/argocd-cm.yaml",
    "argocd/config/argocd-notifications-cm.yaml",
    "argocd/config/argocd-rbac-cm.yaml",
]


class Place:
    """A folder with a bare repository, and settings that name it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = folder / "tenants.git"
        create_bare(self.remote)

    def settings(self, data: str = "data", **changes: Any) -> settings.Settings:
        cell = {"repository_url": str(self.remote)} | changes.pop("cell", {})
        return settings.load(
            data_dir=self.folder / data,
            database_url=f"sqlite:///{self.folder}/tenantry.db",
            cells={"main": cell},
            **changes,
        )

    def init(self, wishes: Wishes | None = None, **changes: Any) -> Initialized:
        with wiring.site(self.settings(**changes), "main") as site:
            return initialize(site, wishes or Wishes())

    def git(self, *arguments: str) -> str:
        return _git(f"--git-dir={self.remote}", *arguments)

    def show(self, path: str) -> str:
        return self.git("show", f"main:{path}")

    def paths(self) -> list[str]:
        return self.git("ls-tree", "-r", "--name-only", "main").splitlines()

    def head(self) -> str:
        return self.git("rev-parse", "main")

    def write(self, **files: str | None) -> None:
        """As a person writes: path -> text, None removes; in one commit on main."""
        work = self.folder / "work"
        if not work.exists():
            _git("clone", "-q", str(self.remote), str(work))
            _git("-C", str(work), "checkout", "-q", "-B", "main")
        if self.git("branch", "--list", "main"):
            _git("-C", str(work), "pull", "-q", "origin", "main")
        for path, text in files.items():
            if text is None:
                (work / path).unlink()
            else:
                (work / path).parent.mkdir(parents=True, exist_ok=True)
                (work / path).write_text(text)
        _git("-C", str(work), "add", "-A")
        _git("-C", str(work), "commit", "-q", "-m", "By hand")
        _git("-C", str(work), "push", "-q", "origin", "main")


def _git(*arguments: str) -> str:
    identity = ("-c", "user.name=Reviewer", "-c", "user.email=r@example.com")
    done = subprocess.run(
        ["git", *identity, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place whose repository was made complete; for reading only."""
    place = Place(tmp_path_factory.mktemp("begun"))
    place.init()
    return place


# From nothing


def test_an_empty_repository_becomes_complete(place: Place) -> None:
    done = place.init()
    assert done.added == ["platform/v1", *FILES]
    assert [path for path in place.paths() if not path.startswith("platform/")] == FILES
    assert "platform/v1/base/kustomization.yaml" in place.paths()
    assert place.git("log", "--format=%s", "main").splitlines() == [
        "Add what Argo CD and reviewers need to follow this repository",
        "Add platform version v1",
    ]


def test_every_shard_has_a_branch_at_main(begun: Place) -> None:
    found = dict(
        line.split()
        for line in begun.git(
            "for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads/shard/"
        ).splitlines()
    )
    assert found == dict.fromkeys(map(shards.branch, shards.all_shards(64)), begun.head())


def test_again_changes_nothing(place: Place) -> None:
    before = place.init().head
    again = place.init(data="another machine")
    assert again == Initialized(before)
    assert place.git("rev-list", "--count", "main") == "2"


def test_it_needs_no_key_and_makes_none(place: Place) -> None:
    _upgrade_database(place)
    place.init(environment="production")
    assert place.paths()
    assert not (place.folder / "data" / "keys").exists()


def _upgrade_database(place: Place) -> None:
    """As `tenantry db upgrade` does."""
    wiring.make_data_folder(place.settings())
    database = wiring.open_database(place.settings())
    schema.upgrade(database)
    database.close()


def test_argo_cd_understands_what_it_made(begun: Place) -> None:
    sets = load_sets(begun.show("argocd/applicationsets.yaml"))
    project = load_project(begun.show("argocd/appproject.yaml"))
    assert len(sets) == 64
    assert {tree["spec"]["template"]["spec"]["project"] for tree in sets} == {project.name}
    watched = {tree["spec"]["generators"][0]["git"]["revision"] for tree in sets}
    branches = begun.git("for-each-ref", "--format=%(refname)", "refs/heads/shard/").split()
    assert watched == set(branches)


def test_what_it_made_passes_the_check_that_it_brings(begun: Place, tmp_path: Path) -> None:
    require("kustomize")
    _git("clone", "-q", str(begun.remote), str(tmp_path / "work"))
    result = CliRunner().invoke(check, [str(tmp_path / "work"), "--base", "HEAD"])
    assert (result.exit_code, result.output[:9]) == (0, "0 tenants")


def test_a_platform_that_the_check_would_refuse_is_not_added(place: Place) -> None:
    product = place.folder / "product"
    shutil.copytree(assets.path("tenant_templates"), product)
    base = product / "platform/v1/base/kustomization.yaml"
    base.write_text(base.read_text() + "components: [https://example.com/x]\n")
    with pytest.raises(PlatformRefused, match=r"https://example\.com/x"):
        place.init(product_dir=product)
    assert place.git("for-each-ref") == ""


# What is there stays


def test_what_people_wrote_is_left_and_named(place: Place) -> None:
    place.write(**{"README.md": "ours", "LICENSE": "MIT", "argocd/ours.yaml": "a: 1"})
    done = place.init()
    assert done.differing == ["README.md"]
    assert "README.md" not in done.added
    assert (place.show("README.md"), place.show("LICENSE")) == ("ours", "MIT")
    assert place.show("argocd/ours.yaml") == "a: 1"


def test_only_when_asked_it_is_written_anew_in_one_commit(place: Place) -> None:
    place.init()
    place.write(**{"README.md": "ours", "argocd/appproject.yaml": "{}", "notes": "ours"})
    done = place.init(Wishes(update=True))
    assert done.updated == ["README.md", "argocd/appproject.yaml"]
    changed = place.git("diff", "--name-only", "main~1", "main").split()
    assert changed == done.updated
    assert place.show("notes") == "ours"


def test_what_was_lost_comes_back(place: Place) -> None:
    place.init()
    place.write(**{".gitlab-ci.yml": None})
    place.git("branch", "-D", "shard/3f")
    done = place.init()
    assert (done.added, done.branches) == ([".gitlab-ci.yml"], ["shard/3f"])
    assert place.git("rev-parse", "shard/3f") == place.head()


def test_a_platform_version_is_never_written_anew(place: Place) -> None:
    place.write(**{"platform/v1/base/kustomization.yaml": "resources: []"})
    done = place.init(Wishes(update=True))
    assert done.differing == ["platform/v1"]
    assert place.show("platform/v1/base/kustomization.yaml") == "resources: []"


def test_another_cells_facts_differ_and_are_written_when_asked(place: Place) -> None:
    place.init()
    cell = {"argocd_repository_url": "https://git.example.com/acme/tenants.git"}
    assert place.init(cell=cell).differing == [
        "argocd/applicationsets.yaml",
        "argocd/appproject.yaml",
    ]
    place.init(Wishes(update=True), cell=cell)
    assert place.show("argocd/appproject.yaml").count(cell["argocd_repository_url"]) == 1


def test_owners_are_written_and_kept(place: Place) -> None:
    place.init()
    rules = place.show("CODEOWNERS").splitlines()
    assert all(line.startswith("#") for line in rules)
    place.init(Wishes(owners=("@acme/platform", "@jo"), update=True))
    rules = [line for line in place.show("CODEOWNERS").splitlines() if line[0] != "#"]
    assert rules == ["* @acme/platform @jo", ".* @acme/platform @jo"]
    head = place.head()
    assert place.init(Wishes(update=True)) == Initialized(head)


def test_a_repository_of_something_else_is_refused(place: Place) -> None:
    path = "src/app.py"
    place.write(**{path: "x"})
    with pytest.raises(WrongRepository, match=path):
        place.init()
    done = place.init(Wishes(anyway=True))
    assert "argocd/appproject.yaml" in done.added
    assert place.show(path) == "x"


@pytest.mark.parametrize(
    "path", ["argocd", ".github", "CODEOWNERS/x", "argocd/config/argocd-cm.yaml/x"]
)
def test_what_is_in_the_way_is_named_and_stays(place: Place, path: str) -> None:
    place.write(**{path: "x"})
    with pytest.raises(WrongRepository, match="is in the way"):
        place.init(Wishes(update=True, anyway=True))
    assert place.paths() == [path]


# Among others


@pytest.fixture
def site(place: Place) -> Iterator[Site]:
    with wiring.site(place.settings(), "main") as site:
        yield site


def _once(act: Callable[[], object], then: Callable[..., Any]) -> Callable[..., Any]:
    """A stand-in for `then` that acts first, the first time."""
    todo = iter([act])

    def stand_in(*arguments: Any, **options: Any) -> Any:
        if first := next(todo, None):
            first()
        return then(*arguments, **options)

    return stand_in


def test_main_that_moves_on_is_read_again(
    place: Place, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = _once(lambda: place.write(**{"README.md": "ours"}), TenantsRepository.push)
    monkeypatch.setattr(TenantsRepository, "push", push)
    assert initialize(site, Wishes()).differing == ["README.md"]
    assert place.show("README.md") == "ours"


@pytest.mark.parametrize("method", ["build", "push"])
def test_one_that_was_stopped_is_made_up_for(
    place: Place, site: Site, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    original = getattr(TenantsRepository, method)
    monkeypatch.setattr(TenantsRepository, method, _once(stop, original))
    with pytest.raises(KeyboardInterrupt):
        initialize(site, Wishes())
    assert place.git("for-each-ref") == ""
    assert place.init(data="another machine").added == ["platform/v1", *FILES]


def test_two_at_once_make_one(place: Place) -> None:
    made: list[Initialized] = []
    threads = [
        threading.Thread(target=lambda data=data: made.append(place.init(data=data)))
        for data in ("one", "two")
    ]
    _upgrade_database(place)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {done.head for done in made} == {place.head()}
    assert sorted(len(done.added) for done in made) == [0, len(FILES) + 1]
    assert place.git("rev-list", "--count", "main") == "2"


def test_it_waits_for_a_publisher_and_not_for_ever(
    place: Place, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wiring.site(place.settings("other"), "main") as other:
        assert other.cell.lease.take()
        with monkeypatch.context() as patch:
            patch.setattr(turn, "PATIENCE", -1.0)
            with pytest.raises(LeaseLost):
                initialize(site, Wishes())
        initialize(site, Wishes(), wait=lambda _: other.cell.lease.release())
    assert place.paths()


def test_a_lease_that_was_lost_pushes_nothing(
    place: Place, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = _once(site.cell.lease.release, TenantsRepository.build)
    monkeypatch.setattr(TenantsRepository, "build", build)
    with pytest.raises(LeaseLost):
        initialize(site, Wishes())
    assert place.git("for-each-ref") == ""


def test_a_token_without_the_right_to_write_workflows_is_told(place: Place, site: Site) -> None:
    hook = place.remote / "hooks" / "pre-receive"
    hook.write_text(
        "#!/bin/sh\necho 'refusing to allow a GitHub App to create or update workflow' >&2; exit 1"
    )
    hook.chmod(0o755)
    with pytest.raises(PushRefused) as caught:
        initialize(site, Wishes())
    assert "may write workflows" in str(caught.value)


# The command


@pytest.fixture
def run(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("TENANTRY_DATA_DIR", str(place.folder / "data"))
    monkeypatch.setenv("TENANTRY_CELLS__MAIN__REPOSITORY_URL", str(place.remote))
    return lambda *arguments: CliRunner().invoke(init, list(arguments))


def test_the_command_tells_what_it_did_and_what_comes_next(
    place: Place, run: Callable[..., Any]
) -> None:
    result = run("--owner", "@acme/platform")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "added    platform/v1"
    assert f"The repository of cell main is complete at {place.head()[:12]}." in lines
    assert any(line.startswith("1. ") for line in lines)
    again = json.loads(run("--json").output)
    assert (again["head"], again["added"], again["branches"]) == (place.head(), [], [])
    assert {"title", "lines"} == set(again["next"][0])


def test_the_command_names_what_differs(place: Place, run: Callable[..., Any]) -> None:
    place.write(**{"README.md": "ours", "platform/v1/base/x.yaml": "a: 1"})
    output = run().output
    assert "differs  README.md\n" in output
    assert "tenantry init --update" in output
    assert "A platform version never changes" in output


@pytest.mark.parametrize("owner", ["acme", "@", "@acme/", "@a b", "@acme\n* @evil"])
def test_an_owner_that_is_none_is_a_wrong_usage(run: Callable[..., Any], owner: str) -> None:
    assert run("--owner", owner).exit_code == 2


def test_a_cell_that_is_none_is_a_wrong_usage(run: Callable[..., Any]) -> None:
    result = run("--cell", "west")
    assert (result.exit_code, "there are main" in result.output) == (2, True)


# What is reviewed


def _review(result: Any) -> str:
    told: str = json.loads(result.output)["review"]
    return told


@pytest.mark.parametrize("wish", ["everything", "default"])
def test_what_shall_be_reviewed_is_told(run: Callable[..., Any], wish: str) -> None:
    told = json.loads(run("--review", wish, "--json").output)
    (lines,) = [step["lines"] for step in told["next"] if "review" in step["title"]]
    asked_for = "# set TENANTRY_CELLS__MAIN__REVIEW_EVERYTHING=true" in lines
    assert (told["review"], asked_for) == (wish, wish == "everything")


def test_the_settings_say_what_is_reviewed(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _review(run("--json")) == "default"
    monkeypatch.setenv("TENANTRY_CELLS__MAIN__REVIEW_EVERYTHING", "true")
    assert _review(run("--json")) == "everything"
    assert _review(run("--json", "--review", "default")) == "default"


def test_another_word_for_it_is_a_wrong_usage(run: Callable[..., Any]) -> None:
    assert run("--review", "nothing").exit_code == 2


QUESTION = "What shall wait for a person"


@pytest.fixture
def asked(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What is said at a terminal where somebody answers `everything`."""
    monkeypatch.setattr("tenantry.cli.init.is_somebody_there", lambda: True)
    return lambda *arguments: (
        CliRunner().invoke(init, list(arguments), input="nonsense\neverything\n").output
    )


def test_a_person_is_asked_what_shall_be_reviewed(asked: Callable[..., str]) -> None:
    said = asked()
    assert QUESTION in said
    assert "# set TENANTRY_CELLS__MAIN__REVIEW_EVERYTHING=true" in said


@pytest.mark.parametrize("given", ["option", "setting", "json", "nobody"])
def test_nobody_is_asked_what_is_known_or_cannot_be_answered(
    asked: Callable[..., str], monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    if given == "setting":
        monkeypatch.setenv("TENANTRY_CELLS__MAIN__REVIEW_EVERYTHING", "false")
    if given == "nobody":
        monkeypatch.setattr("tenantry.cli.init.is_somebody_there", lambda: False)
    arguments = {"option": ["--review", "default"], "json": ["--json"]}
    said = asked(*arguments.get(given, []))
    assert said
    assert QUESTION not in said
    assert "REVIEW_EVERYTHING=true" not in said


# What an operator types next


def _commands(**cell: Any) -> str:
    return _commands_with_reviews(everything=False, **cell)


def _commands_with_reviews(*, everything: bool, **cell: Any) -> str:
    configured = settings.load(
        cells={"west": {"repository_url": "/tenants.git"} | cell},
        public_url="https://signup.example.com",
    )
    steps = next_steps("west", configured, review_everything=everything)
    return "\n".join(line for step in steps for line in step.lines)


def test_the_steps_hold_the_cells_own_values() -> None:
    told = _commands(
        repository_url="git@git.example.com:acme/tenants.git",
        argocd_url="https://argocd.example.com",
        argocd_token_file="/run/it's/argocd.token",
        sealing_certificate="/etc/tenantry/west.crt",
    )
    assert "git clone --branch main git@git.example.com:acme/tenants.git tenants" in told
    assert "--from-file=sshPrivateKey=read-key" in told
    assert "kubeseal --fetch-cert > /etc/tenantry/west.crt" in told
    assert f"> {shlex.quote('/run/it' + chr(39) + 's/argocd.token')}" in told
    assert "CELLS__WEST__ARGOCD_TOKEN_FILE" not in told
    assert "# set TENANTRY_CELLS__WEST__ARGOCD_WEBHOOK_URL=http://argocd-applicationset" in told


def test_what_is_typed_is_a_shells() -> None:
    told = _commands(argocd_repository_url="https://git.example.com/a b/tenants.git")
    subprocess.run(["sh", "-n", "-c", told], check=True)
    programs = {shlex.split(line)[0] for line in told.splitlines() if not line.startswith("#")}
    assert programs == {"kubectl", "kubeseal", "git", "argocd", "openssl", "umask"}


def test_a_path_is_no_url_for_argo_cd() -> None:
    assert "# set TENANTRY_CELLS__WEST__ARGOCD_REPOSITORY_URL=https://…" in _commands()


def test_secrets_that_the_configuration_names_are_set() -> None:
    told = _commands()
    assert "--from-literal=tenantry-url=" in told
    assert "--from-file=tenantry-token=" in told


def test_reviews_are_set_up_by_what_is_typed() -> None:
    told = _commands_with_reviews(everything=True)
    assert "# set TENANTRY_CELLS__WEST__REVIEW_EVERYTHING=true" in told
    assert "# set TENANTRY_CELLS__WEST__FORGE=<github, gitlab or gitea>" in told
    assert "# set TENANTRY_CELLS__WEST__FORGE_WEBHOOK_SECRET_FILE=$PWD/forge-webhook" in told
    assert "URL https://signup.example.com/hooks/<github, gitlab or gitea>" in told


def test_what_is_set_for_reviews_is_not_asked_for_again() -> None:
    told = _commands_with_reviews(
        everything=True,
        review_everything=True,
        forge="gitlab",
        forge_webhook_secret_file="/run/hook.secret",
    )
    assert "URL https://signup.example.com/hooks/gitlab," in told
    assert "> /run/hook.secret" in told
    for setting in ("REVIEW_EVERYTHING", "FORGE=", "FORGE_TOKEN", "FORGE_WEBHOOK"):
        assert f"WEST__{setting}" not in told


def test_the_payment_providers_webhook_is_named_until_its_secret_is_set() -> None:
    where, setting = "https://signup.example.com/hooks/billing", "TENANTRY_BILLING_SECRET_FILE"
    assert where in _commands()
    assert f"# set {setting}=$PWD/billing.secret" in _commands()
    configured = settings.load(public_url="https://signup.example.com", billing_secret_file="/b")
    lines = next_steps("main", configured, review_everything=False)[-1].lines
    assert where in lines[0]
    assert setting not in "".join(lines)


def test_volumes_that_cannot_grow_are_asked_for_until_that_is_set() -> None:
    hint = "# set TENANTRY_CELLS__WEST__VOLUMES_GROW=false"
    assert f"kubectl get storageclass\n# if not:\n{hint}" in _commands()
    assert hint not in _commands(volumes_grow=False)


def test_reviews_of_everything_can_be_given_up() -> None:
    told = _commands_with_reviews(everything=False, review_everything=True)
    assert "# set TENANTRY_CELLS__WEST__REVIEW_EVERYTHING=false" in told
