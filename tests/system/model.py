"""What customers were told and what people wrote, and whether main shows just that.

Shares no code with the product: it knows of customers only what a client of the API was answered,
and reads main by Git's command line and plain JSON and YAML.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import yaml

BY_HAND = "# by hand"
AFTER_A_RENAME = {"tenant.json"}  # nothing else in a folder depends on the company


@dataclass
class Person:
    """A customer, as far as its client knows. `customer_id` is None where the answer was lost."""

    email: str
    company: str
    customer_id: str | None = None
    generation: int = 1  # how often something else was asked for, the signup included
    is_removed: bool = False  # by hand: the folder is not on main
    edit: str = ""  # what somebody's hand wrote at the end of the namespace's file
    told_published: bool = False

    @property
    def folder(self) -> str:
        """Where the specification wants it; only for those who know their id."""
        name = f"customer-{str(self.customer_id).removeprefix('cust-')}"
        return f"tenants/{sha256(name.encode()).hexdigest()[:2]}/{name}"


@dataclass(frozen=True)
class Snapshot:
    """Main at one moment: content by path, and the tree ids of tenants' folders."""

    files: dict[str, bytes]
    trees: dict[str, str]

    def record(self, folder: str) -> dict[str, object]:
        found = json.loads(self.files[f"{folder}/tenant.json"])
        assert isinstance(found, dict)
        return found


@dataclass
class Model:
    """The customers by e-mail, and what was seen of main so far."""

    remote: Path
    people: dict[str, Person] = field(default_factory=dict)
    unsure: dict[str, Person] = field(default_factory=dict)  # signups that nobody was answered
    by_hand: set[str] = field(default_factory=set)  # commits that people made
    promised: set[str] = field(default_factory=set)  # commits that a pass said it made
    head: str | None = None
    shards: dict[str, str] = field(default_factory=dict)  # branch -> commit
    commits: set[str] = field(default_factory=set)
    generations: dict[str, int] = field(default_factory=dict)  # by customer id, on main
    disturbed: set[str] = field(default_factory=set)  # folders that a person wrote to since ours
    has_local: dict[str, str] = field(default_factory=dict)  # folder -> its component by hand

    def known(self) -> list[Person]:
        """Customers who know their id, the oldest first."""
        return [person for person in self.people.values() if person.customer_id]

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", f"--git-dir={self.remote}", *arguments],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    def has_main(self) -> bool:
        """Whether anything was pushed yet."""
        return bool(self.git("for-each-ref", "refs/heads/main"))

    def tree(self, folder: str) -> str | None:
        """What stands there on main now."""
        if not self.has_main():
            return None
        return self.git("ls-tree", "-d", "--format=%(objectname)", "main", folder).strip() or None

    # After each step

    def look(self) -> None:
        """AssertionError where main's history was rewritten, or holds what must not be there."""
        listed = self.git("for-each-ref", "--format=%(refname:lstrip=2) %(objectname)")
        heads = dict(line.split() for line in listed.splitlines())
        if not heads:
            assert self.head is None, "main is gone"
            return
        head = heads.pop("main")
        if heads != self.shards:
            self._look_at_shards(heads)
        if head == self.head:
            return
        commits = set(self.git("rev-list", "main").split())
        assert self.commits <= commits, "main's history was rewritten"
        assert self.by_hand <= commits, "somebody's commit was lost"
        assert self.promised <= commits, "what is called published is not on main"
        for commit in self._commits_since():
            self._look_at(*commit)
        self.head, self.commits = head, commits

    def _look_at_shards(self, heads: dict[str, str]) -> None:
        """Each is a commit of main, and none went back."""
        assert all(branch.startswith("shard/") for branch in heads), f"other branches: {heads}"
        history = self.git("rev-list", "--topo-order", "--reverse", "main").split()
        place = {commit: number for number, commit in enumerate(history)}
        assert set(heads.values()) <= place.keys(), "a shard's branch left main"
        for branch in heads.keys() & self.shards.keys():
            assert place[self.shards[branch]] <= place[heads[branch]], f"{branch} went back"
        self.shards = heads

    def _commits_since(self) -> Iterator[tuple[str, str, list[str]]]:
        """Each commit since the last look, oldest first: its id, its message, what it touched."""
        span = f"{self.head}..main" if self.head else "main"
        log = self.git("log", "--first-parent", "--reverse", "--name-only", "--no-renames",
                       "--format=%x01%H%x02%B%x02", span)  # fmt: skip
        for entry in log.split("\1")[1:]:
            sha, message, paths = entry.split("\2")
            yield sha, message, paths.split()

    def _look_at(self, sha: str, message: str, paths: list[str]) -> None:
        folders = {"/".join(path.split("/")[:3]) for path in paths if path.startswith("tenants/")}
        assert paths, f"an empty commit: {message}"
        assert len(folders) <= 1, f"a commit touches several tenants: {paths}"
        if sha in self.by_hand:
            self.disturbed |= folders
            return
        trailers = dict(line.split(": ", 1) for line in message.splitlines() if ": " in line)
        for folder in folders:
            names = {path.removeprefix(f"{folder}/") for path in paths}
            self._look_at_tenant(
                folder, trailers["Customer-Id"], int(trailers["Generation"]), names
            )

    def _look_at_tenant(
        self, folder: str, customer_id: str, generation: int, names: set[str]
    ) -> None:
        assert folder.endswith(f"/customer-{customer_id.removeprefix('cust-')}"), folder
        before = self.generations.get(customer_id, 0)
        if folder in self.disturbed:
            assert generation >= before, f"{customer_id} went back from {before} to {generation}"
        else:
            assert generation > before, f"{customer_id}: {generation} after {before}, nobody asked"
            assert not before or names <= AFTER_A_RENAME, f"changed without need: {names}"
        for person in self.known():
            assert person.customer_id != customer_id or generation <= person.generation
        self.generations[customer_id] = generation
        self.disturbed.discard(folder)

    # When all is quiet

    def snapshot(self) -> Snapshot:
        if self.head is None:
            return Snapshot({}, {})
        packed = subprocess.run(
            ["git", f"--git-dir={self.remote}", "archive", "--format=tar", "main"],
            check=True, capture_output=True,
        ).stdout  # fmt: skip
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            files = {
                member.name: content.read()
                for member in tar
                if member.isfile() and (content := tar.extractfile(member))
            }
        listed = self.git("ls-tree", "-r", "-d", "--format=%(path) %(objectname)", "main")
        trees = dict(line.rsplit(" ", 1) for line in listed.splitlines())
        return Snapshot(files, {path: tree for path, tree in trees.items() if path.count("/") == 2})

    def require_shown(self) -> None:
        """AssertionError unless main shows every customer as it should be, and nobody else."""
        main = self.snapshot()
        folders = {path for path in main.trees if path.startswith("tenants/")}
        for person in self.people.values():
            if person.is_removed:
                assert person.folder not in folders, f"the hand's work on {person} was undone"
            else:
                folders.remove(self._require_one(main, folders, person))
        for person in self.unsure.values():
            found = [folder for folder in folders if _shows(main, folder, person)]
            assert len(found) <= 1, f"{person} was doubled"
            folders -= set(found)
        assert not folders, f"nobody asked for {folders}"

    def _require_one(self, main: Snapshot, folders: set[str], person: Person) -> str:
        found = [folder for folder in folders if _shows(main, folder, person)]
        assert len(found) == 1, f"{person} is shown {len(found)} times"
        (folder,) = found
        record = main.record(folder)
        name = folder.rpartition("/")[2]
        assert record["name"] == name
        assert record["customer_id"] == f"cust-{name.removeprefix('customer-')}"
        assert (record["company"], record["state"], record["plan"]) == (
            person.company, "active", "starter",
        ), person  # fmt: skip
        _require_whole(main, folder, name)
        _require_kept(main, folder, person)
        local = self.has_local.get(folder)
        resources = yaml.safe_load(main.files[f"{folder}/kustomization.yaml"])
        assert local is None or main.files[f"{folder}/local/kustomization.yaml"].decode() == local
        if self.generations.get(str(record["customer_id"])) and folder not in self.disturbed:
            assert ("local" in resources["components"]) == (local is not None), person
        return folder


def _shows(main: Snapshot, folder: str, person: Person) -> bool:
    """Whether the folder is the customer's: by id, or by company where there was no answer."""
    if f"{folder}/tenant.json" not in main.files:
        return False
    record = main.record(folder)
    if person.customer_id:
        return record["customer_id"] == person.customer_id
    return record["company"] == person.company


def _require_kept(main: Snapshot, folder: str, person: Person) -> None:
    _, mark, edit = main.files[f"{folder}/namespace.yaml"].decode().partition(BY_HAND)
    assert mark + edit == person.edit, f"the hand's work on {person} was undone"


def _require_whole(main: Snapshot, folder: str, name: str) -> None:
    namespace = yaml.safe_load(main.files[f"{folder}/namespace.yaml"])
    sealed = yaml.safe_load(main.files[f"{folder}/sealed-secret.yaml"])
    assert namespace["metadata"]["name"] == name
    assert (sealed["kind"], sealed["metadata"]["namespace"]) == ("SealedSecret", name)
    assert len(sealed["spec"]["encryptedData"]) == 10
