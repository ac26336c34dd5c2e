"""The folder of keys as it is used while the service runs: read again when its files change, and
changed by a rotation of the key that signs.

Invariant: the key that signs is always among the public ones, whichever of two writes was the last
before a crash. A private key never leaves the folder.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from tenantry.core.errors import ChangeRefused, SettingsError
from tenantry.core.keys import SigningKey, public_bundle, read_public_bundle
from tenantry.flows.keys import (
    DEVELOPMENT_MARK,
    LICENSE_KEY,
    PUBLIC_KEY,
    Keyring,
    alone_in,
    load_keyring,
    new_license_key,
    read_key_file,
    write_whole,
)

NEXT_KEY = "next-license-key.pem"

log = structlog.get_logger()

Stamp = tuple[tuple[int, int, int], ...]


class KeyFolder:
    """Safe for several threads."""

    def __init__(self, path: Path, *, production: bool) -> None:
        """KeysMissing as `load_keyring`."""
        self.path = path
        self.production = production
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._keyring = load_keyring(path, production=production)

    def keyring(self) -> Keyring:
        """The keys as the files have them now. Files that cannot be used are logged, once, and
        those that were read before stay in use.
        """
        with self._lock:
            if (stamp := self._look()) != self._stamp:
                self._stamp = stamp
                try:
                    self._keyring = load_keyring(self.path, production=self.production)
                except SettingsError as error:
                    log.error("keys.unusable", detail=str(error))
            return self._keyring

    def next_key(self) -> SigningKey | None:
        """The key that will sign next; None where there is none. SettingsError where it is not
        usable.
        """
        path = self.path / NEXT_KEY
        if not path.exists():
            return None
        found = SigningKey.from_pem(read_key_file(path, self.production))
        return found if found.kid != self.keyring().signing.kid else None

    @property
    def is_writable(self) -> bool:
        """Whether a rotation can change its files; a mounted Secret's it cannot."""
        return os.access(self.path, os.W_OK)

    def add_next(self) -> None:
        """Make the next key, of the kind of the one that signs, and publish its public half."""
        with self._changing():
            found = self.next_key() or self._make_next()
            public = self._read_public()
            if found.public_pem not in public:
                self._write_public(public + found.public_pem)

    def use_next(self) -> None:
        """Let the next key sign from now on; the one that did is gone. ChangeRefused where its
        public half is not among those in the folder: nobody could use such a folder any more.
        """
        with self._changing():
            found = self.next_key()
            if found is None:
                return
            if found.kid not in read_public_bundle(self._read_public()):
                raise not_published()
            (self.path / NEXT_KEY).replace(self.path / LICENSE_KEY)

    def drop(self, kids: Collection[str]) -> None:
        """Forget the public halves of these earlier keys."""
        with self._changing():
            kept = [key.pem for kid, key in self.keyring().public.items() if kid not in kids]
            self._write_public(self._mark + public_bundle(kept))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone in the folder; SettingsError where it takes no more, such as on a full disk: what
        was there stands, and the same again goes on.
        """
        try:
            with alone_in(self.path):
                yield
        except OSError as error:
            raise SettingsError(
                f"{self.path}: {error.strerror}", remedy="make room there, and do the same again"
            ) from None

    @property
    def _mark(self) -> str:
        return "" if self.production else DEVELOPMENT_MARK

    def _make_next(self) -> SigningKey:
        private = new_license_key(self.keyring().signing.algorithm)
        write_whole(self.path / NEXT_KEY, self._mark + private)
        return SigningKey.from_pem(private)

    def _read_public(self) -> str:
        text = read_key_file(self.path / PUBLIC_KEY, self.production)
        return text if text.endswith("\n") else f"{text}\n"

    def _write_public(self, text: str) -> None:
        write_whole(self.path / PUBLIC_KEY, text, mode=0o644)

    def _look(self) -> Stamp:
        return tuple(_stamp(self.path / name) for name in (LICENSE_KEY, PUBLIC_KEY))


def not_published() -> ChangeRefused:
    """Why a next key cannot sign yet."""
    return ChangeRefused("the next key is not published", remedy="first --step publish")


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)
