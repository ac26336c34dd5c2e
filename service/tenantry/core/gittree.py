"""Git's own names for content: the id that a folder's tree has, computed without a repository.

So a rendered folder is compared with what stands on main before anything is written, and the tree
that is about to be pushed can be recorded first. Object format: SHA-1, as on every forge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

FILE_MODE = "100644"
FOLDER_MODE = "40000"


def blob_id(content: bytes) -> str:
    """The blob id (hex) of a file's content."""
    return _object_id("blob", content)


def tree_id(files: Mapping[str, bytes], *, folders: Mapping[str, str] | None = None) -> str:
    """The tree id (hex) of a folder with `files` (plain name -> content) and already known
    sub-`folders` (name -> their tree id).
    """
    entries = [(name, FILE_MODE, blob_id(content)) for name, content in files.items()]
    entries += [(name, FOLDER_MODE, tree) for name, tree in (folders or {}).items()]
    body = b"".join(
        f"{mode} {name}\0".encode() + bytes.fromhex(object_id)
        for name, mode, object_id in sorted(entries, key=_git_order)
    )
    return _object_id("tree", body)


def folder_id(files: Mapping[str, bytes]) -> str:
    """The tree id (hex) of a folder with `files` (path within it -> content) at any depth."""
    here: dict[str, bytes] = {}
    below: dict[str, dict[str, bytes]] = {}
    for path, content in files.items():
        name, slash, rest = path.partition("/")
        if slash:
            below.setdefault(name, {})[rest] = content
        else:
            here[name] = content
    return tree_id(here, folders={name: folder_id(inner) for name, inner in below.items()})


def _git_order(entry: tuple[str, str, str]) -> bytes:
    """Git sorts folders as if their name ended in a slash."""
    name, mode, _ = entry
    return (name + "/" if mode == FOLDER_MODE else name).encode()


def _object_id(kind: str, content: bytes) -> str:
    header = f"{kind} {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
