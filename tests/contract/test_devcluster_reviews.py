"""The stand-in's page for reviews: what it shows of a repository, and what its buttons do to it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tenantry.adapters.git import ENVIRONMENT
from tenantry.cli.demo import reviewer
from tenantry.cli.demo.stack import Stack
from tenantry.core.errors import TenantryError
from tenantry.devcluster import DevCluster, DevClusterSettings
from tenantry.devcluster.reviewpage import ReviewPage
from tenantry.devcluster.reviews import BRANCHES_SHOWN, LINES_SHOWN, Reviews

BRANCH = "tenantry/cust-abc123"
FILE = "tenants/ab/customer-abc123/plan.yaml"
HOST = "localhost:3101"
HERE = {"Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}
AFTER_MERGE = {FILE: "plan: pro\n", "README.md": "hello\n"}


class Repository:
    """A bare repository whose commits are made without a checkout."""

    def __init__(self, path: Path) -> None:
        self.path = path
        subprocess.run(
            ["git", "init", "-q", "--bare", "-b", "main", str(path)], env=ENVIRONMENT, check=True
        )

    def git(self, *arguments: str, stdin: str = "") -> str:
        identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
        argv = ["git", f"--git-dir={self.path}", *identity, *arguments]
        done = subprocess.run(
            argv, input=stdin, env=ENVIRONMENT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(
        self, branch: str, files: Mapping[str, str], subject: str, *, onto: str | None = None
    ) -> str:
        """One commit more on a branch, on top of itself or of another."""
        marks = "".join(
            f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n"
            for path, text in files.items()
        )
        start = self.head(onto or branch)
        origin = f"from {start}\n" if start else ""
        self.git(
            "fast-import", "--quiet", "--force",
            stdin=f"commit refs/heads/{branch}\ncommitter T <t@localhost> 1700000000 +0000\n"
            f"data {len(subject.encode())}\n{subject}\n{origin}{marks}\n",
        )  # fmt: skip
        return self.head(branch)

    def head(self, branch: str) -> str:
        """Its commit, or nothing."""
        return self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")

    def files(self, branch: str) -> dict[str, str]:
        names = self.git("ls-tree", "-r", "--name-only", branch).splitlines()
        return {name: self.git("show", f"{branch}:{name}") + "\n" for name in names}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Main with a tenant, and a branch of two commits that gives it another plan."""
    found = Repository(tmp_path / "tenants.git")
    found.commit("main", {FILE: "plan: starter\n"}, "Begin")
    found.commit(BRANCH, {FILE: "plan: business\n"}, "Plan: starter to business", onto="main")
    found.commit(BRANCH, {FILE: "plan: pro\n"}, "Plan: business to pro")
    found.commit("main", {"README.md": "hello\n"}, "Say hello")
    return found


@pytest.fixture
def client(repository: Repository) -> FlaskClient:
    return client_of(Reviews(repository.path, deadline=30))


def client_of(reviews: Reviews | None) -> FlaskClient:
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(ReviewPage(reviews, refresh=3).blueprint())
    return app.test_client()


def show(client: FlaskClient) -> TestResponse:
    return client.get("/reviews", headers={"Host": HOST})


def press(
    client: FlaskClient,
    action: str,
    head: str,
    *,
    branch: str = BRANCH,
    headers: Mapping[str, str] = HERE,
) -> TestResponse:
    return client.post(
        f"/reviews/{branch}/{action}", data={"head": head}, headers={"Host": HOST, **headers}
    )


def test_branch_is_shown_with_its_commits_and_difference(
    client: FlaskClient, repository: Repository
) -> None:
    page = show(client)
    assert page.status_code == 200
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    shown = page.text
    assert f"<h2>{BRANCH}</h2>" in shown
    subjects = re.findall(r"<li>(.*)</li>", shown)
    assert subjects == ["Plan: starter to business", "Plan: business to pro"]
    assert f"<h3>{FILE}</h3>" in shown
    assert '<span class="removed">-plan: starter</span>' in shown
    assert '<span class="added">+plan: pro</span>' in shown
    assert "README.md" not in shown  # which main alone has
    assert f'value="{repository.head(BRANCH)}"' in shown
    assert shown.count("<button") == 3
    assert "refresh" not in shown  # nobody's reading is interrupted


def test_branches_that_are_no_change_to_review_are_not_shown(
    client: FlaskClient, repository: Repository
) -> None:
    repository.git("branch", "shards/0", BRANCH)
    repository.git("branch", "tenantry/Odd_name", BRANCH)
    repository.git("branch", "tenantry/merged", "main")
    shown = show(client).text
    assert re.findall("<h2>(.*)</h2>", shown) == [BRANCH]


def test_content_and_subjects_are_escaped(client: FlaskClient, repository: Repository) -> None:
    repository.commit(BRANCH, {FILE: "<script>x</script>\u2028diff --git a a\n"}, "<b>bold</b>")
    shown = show(client).text
    assert "&lt;script&gt;x&lt;/script&gt;" in shown
    assert "<li>&lt;b&gt;bold&lt;/b&gt;</li>" in shown
    assert shown.count("<h3>") == 1


def test_ciphertext_is_shortened_and_a_large_difference_cut(
    client: FlaskClient, repository: Repository
) -> None:
    sealed = "AgBy3i4OJSWK" + "Zm9v" * 200
    many = "".join(f"line {number}\n" for number in range(LINES_SHOWN))
    repository.commit(BRANCH, {"a.yaml": f"  KEY: {sealed}\n", "b.txt": many}, "Much")
    shown = show(client).text
    assert '<span class="added">+  KEY: AgBy3i4OJSWK…</span>' in shown
    assert f"line {LINES_SHOWN - 1}<" not in shown
    assert "further lines are not shown" in shown


def test_many_branches_are_counted_and_the_oldest_shown(
    client: FlaskClient, repository: Repository
) -> None:
    head = repository.head(BRANCH)
    names = [f"refs/heads/tenantry/cust-{number}" for number in range(BRANCHES_SHOWN + 1)]
    repository.git("update-ref", "--stdin", stdin="".join(f"create {n} {head}\n" for n in names))
    shown = show(client).text
    assert shown.count("<article") == BRANCHES_SHOWN
    assert "And 2 more." in shown


def test_merge_makes_a_merge_commit_and_drops_the_branch(
    client: FlaskClient, repository: Repository
) -> None:
    main, head = repository.head("main"), repository.head(BRANCH)
    answer = press(client, "merge", head)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/reviews")
    assert repository.git("show", "-s", "--format=%P|%an|%ce|%s", "main") == (
        f"{main} {head}|Reviewer|reviewer@localhost|Merge branch '{BRANCH}'"
    )
    assert repository.files("main") == AFTER_MERGE
    assert not repository.head(BRANCH)
    after = show(client).text
    assert "None waits" in after
    assert 'content="3"' in after  # looks again by itself


def test_squash_makes_one_commit_and_drops_the_branch(
    client: FlaskClient, repository: Repository
) -> None:
    main = repository.head("main")
    assert press(client, "squash", repository.head(BRANCH)).status_code == 303
    assert repository.git("show", "-s", "--format=%P|%B", "main") == (
        f"{main}|Plan: starter to business\n\n* Plan: business to pro"
    )
    assert repository.files("main") == AFTER_MERGE
    assert not repository.head(BRANCH)


def test_decline_drops_the_branch_and_leaves_main(
    client: FlaskClient, repository: Repository
) -> None:
    main = repository.head("main")
    assert press(client, "decline", repository.head(BRANCH)).status_code == 303
    assert repository.head("main") == main
    assert not repository.head(BRANCH)


@pytest.mark.parametrize("action", ["merge", "squash"])
def test_conflict_is_refused_and_the_branch_kept(
    action: str, client: FlaskClient, repository: Repository
) -> None:
    main = repository.commit("main", {FILE: "plan: enterprise\n"}, "By hand")
    head = repository.head(BRANCH)
    answer = press(client, action, head)
    assert answer.status_code == 409
    assert f"It conflicts with main in {FILE}." in answer.text
    assert (repository.head("main"), repository.head(BRANCH)) == (main, head)


@pytest.mark.parametrize("action", ["merge", "squash", "decline"])
def test_branch_that_moved_after_the_page_was_shown_is_left_alone(
    action: str, client: FlaskClient, repository: Repository
) -> None:
    main, shown = repository.head("main"), repository.head(BRANCH)
    moved = repository.commit(BRANCH, {FILE: "plan: free\n"}, "Not read by the reviewer")
    answer = press(client, action, shown)
    assert answer.status_code == 409
    assert "has moved since this page was shown" in answer.text
    assert (repository.head("main"), repository.head(BRANCH)) == (main, moved)


@pytest.mark.parametrize("moves", ["main", BRANCH])
def test_what_moves_while_it_is_merged_is_not_overwritten(
    moves: str, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviews = Reviews(repository.path, deadline=30)
    merged_tree = reviews._merged_tree
    late: dict[str, str] = {}

    def merge_and_be_overtaken(main: str, head: str) -> str:
        late[moves] = repository.commit(moves, {"late.txt": "late\n"}, "Late")
        return merged_tree(main, head)

    monkeypatch.setattr(reviews, "_merged_tree", merge_and_be_overtaken)
    before = {name: repository.head(name) for name in ("main", BRANCH)}
    answer = press(client_of(reviews), "merge", before[BRANCH])
    assert answer.status_code == 409
    assert "moved meanwhile" in answer.text
    assert {name: repository.head(name) for name in ("main", BRANCH)} == before | late


@pytest.mark.parametrize(
    "branch",
    ["main", "tenantry/--force", "tenantry/../main", "tenantry/Cust", "tenantry/a%0Ab", "heads/x"],
)
def test_hostile_or_unknown_branch_is_refused(
    branch: str, client: FlaskClient, repository: Repository
) -> None:
    main = repository.head("main")
    answer = press(client, "decline", main, branch=branch)
    assert answer.status_code in {404, 409}
    assert repository.head("main") == main


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://cust-abc123.localhost:3101"},  # an instance
        {"Origin": "http://localhost:3100"},  # the signup page
        HERE | {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_post_from_elsewhere_is_refused(
    headers: dict[str, str], client: FlaskClient, repository: Repository
) -> None:
    head = repository.head(BRANCH)
    assert press(client, "merge", head, headers=headers).status_code == 403
    assert repository.head(BRANCH) == head


def test_buttons_are_no_links(client: FlaskClient) -> None:
    assert client.get(f"/reviews/{BRANCH}/merge").status_code == 405


def test_repository_that_is_empty_elsewhere_or_gone_is_told_apart(
    repository: Repository, tmp_path: Path
) -> None:
    empty = show(client_of(Reviews(Repository(tmp_path / "empty.git").path, deadline=30)))
    assert (empty.status_code, "None waits" in empty.text) == (200, True)
    elsewhere = show(client_of(None))
    assert (elsewhere.status_code, "on this machine" in elsewhere.text) == (409, True)
    gone = show(client_of(Reviews(tmp_path / "gone.git", deadline=30)))
    assert (gone.status_code, "not a git repository" in gone.text) == (500, True)


@contextmanager
def stand_in_of(repository: Repository) -> Iterator[DevCluster]:
    key = repository.path.with_name("sealing.key")
    key.touch()
    settings = DevClusterSettings(
        repository=str(repository.path), sealing_key=key, tokens={}, webhook_secret="x", port=0
    )
    with DevCluster(settings) as stand_in:
        yield stand_in


def test_stand_in_serves_the_page_at_its_own_host_only(repository: Repository) -> None:
    with stand_in_of(repository) as stand_in:
        url = f"http://localhost:{stand_in.port}"
        assert 'href="/reviews"' in requests.get(f"{url}/", timeout=20).text
        page = requests.get(f"{url}/reviews", timeout=20).text
        instance = requests.get(f"{url}/reviews", headers={"Host": "a.localhost"}, timeout=20)
        merged = requests.post(
            f"{url}/reviews/{BRANCH}/merge",
            data={"head": repository.head(BRANCH)},
            headers={"Origin": url},
            timeout=20,
        )
    assert f"<h2>{BRANCH}</h2>" in page
    assert "Development stand-in." in page
    assert instance.status_code == 404
    assert (merged.status_code, "None waits" in merged.text) == (200, True)
    assert repository.files("main") == AFTER_MERGE


def test_demo_waits_for_the_branch_and_merges_it_by_the_page(repository: Repository) -> None:
    def appear() -> None:
        repository.commit("tenantry/cust-late", {"late.txt": "late\n"}, "Late", onto="main")

    with stand_in_of(repository) as stand_in:
        stack = Stack(repository.path.parent, stand_in.port - 1, Path(), is_reviewed=True)
        reviewer.merge_review(stack, "cust-late", appear)
    assert repository.files("main")["late.txt"] == "late\n"
    assert repository.head(BRANCH)  # another's
    assert not repository.head("tenantry/cust-late")


def test_demo_says_that_a_branch_did_not_come(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reviewer, "MERGED_WITHIN", 0)
    stack = Stack(repository.path.parent, 3100, Path(), is_reviewed=True)
    with pytest.raises(TenantryError, match="tenantry/cust-none could not be merged"):
        reviewer.merge_review(stack, "cust-none", lambda: None)
