"""The service's own keys, as files: made in development, demanded in production."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from structlog.testing import capture_logs

from tenantry import settings, wiring
from tenantry.core import license as licenses
from tenantry.core.errors import ChangeRefused, KeysMissing, SettingsError, TenantryError
from tenantry.core.keys import read_public_bundle
from tenantry.flows import keys
from tenantry.flows.key_folder import NEXT_KEY, KeyFolder
from tenantry.flows.keys import (
    LICENSE_KEY,
    PUBLIC_KEY,
    SEALING_CERTIFICATE,
    VAULT_KEYS,
    write_whole,
)
from tenantry.flows.licensing import rotation
from tenantry.flows.licensing.census import Census, KeyUse
from tenantry.flows.licensing.rotation import Step
from tenantry.settings import CellSettings
from tests.overlays import private_product
from tests.programs import require

NOW = datetime(2026, 11, 23, tzinfo=UTC)
NAMES = [LICENSE_KEY, PUBLIC_KEY, VAULT_KEYS]
CLAIMS = {
    "iss": "acme", "sub": "cust-bcdfghjkmn", "aud": "acme", "jti": "1", "plan": "small",
    "kind": "trial", "features": {}, "limits": {}, "iat": int(NOW.timestamp()),
    "nbf": int(NOW.timestamp()), "warn_at": int((NOW + timedelta(days=7)).timestamp()),
    "exp": int((NOW + timedelta(days=14)).timestamp()),
    "grace_until": int((NOW + timedelta(days=17)).timestamp()),
}  # fmt: skip
AS_OF_THEN = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}


@pytest.fixture
def development(tmp_path: Path) -> Path:
    folder = tmp_path / "development"
    keys.make_development_keys(folder, algorithm="EdDSA")
    return folder


@pytest.fixture
def production(tmp_path: Path) -> Path:
    """Keys as an operator makes them."""
    require("openssl")
    folder = tmp_path / "production"
    folder.mkdir()
    openssl(folder, "genpkey", "-algorithm", "ed25519", "-out", LICENSE_KEY)
    openssl(folder, "pkey", "-in", LICENSE_KEY, "-pubout", "-out", PUBLIC_KEY)
    key = openssl(folder, "rand", "-base64", "32").replace("+", "-").replace("/", "_")
    (folder / VAULT_KEYS).write_text(key)
    return folder


def openssl(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["openssl", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# First run in development


def test_keys_made_at_first_run_are_for_their_owner_only(development: Path) -> None:
    assert mode(development) == 0o700
    assert mode(development / LICENSE_KEY) == mode(development / VAULT_KEYS) == 0o600


def test_a_loose_umask_changes_nothing(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keys.make_development_keys(tmp_path / "keys", algorithm="EdDSA")
        keys.make_sealing_pair(tmp_path / "keys", NOW)
    finally:
        os.umask(before)
    private = [LICENSE_KEY, VAULT_KEYS, keys.SEALING_KEY]
    assert {mode(tmp_path / "keys" / name) for name in private} == {0o600}
    assert mode(tmp_path / "keys" / PUBLIC_KEY) & 0o022 == 0


def test_second_run_makes_nothing_and_keeps_everything(development: Path) -> None:
    before = {name: (development / name).read_bytes() for name in NAMES}
    assert keys.make_development_keys(development, algorithm="RS256") == []
    assert {name: (development / name).read_bytes() for name in NAMES} == before


def test_only_what_is_missing_is_made(development: Path) -> None:
    (development / VAULT_KEYS).unlink()
    before = (development / LICENSE_KEY).read_bytes()
    assert keys.make_development_keys(development, algorithm="EdDSA") == [VAULT_KEYS]
    assert (development / LICENSE_KEY).read_bytes() == before


def test_an_interrupted_first_run_leaves_nothing_half_made(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "license-key.unfinished").write_text("-----BEGIN PRIV")
    keys.make_development_keys(folder, algorithm="EdDSA")
    keys.load_keyring(folder, production=False)
    assert {path.name for path in folder.iterdir()} == {".lock", *NAMES}


def test_two_processes_that_start_at_once_agree_on_one_set(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tenantry.flows import keys;"
        "folder = Path(sys.argv[1]); print(flush=True); input();"
        "keys.make_development_keys(folder, algorithm='RS256');"
        "print(keys.load_keyring(folder, production=False).signing.kid,"
        " (folder / keys.VAULT_KEYS).read_text())"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "keys")]
    pipe = subprocess.PIPE
    children = [subprocess.Popen(argv, stdin=pipe, stdout=pipe) for _ in range(3)]
    for child in children:
        assert child.stdout
        child.stdout.readline()  # is about to start
    for child in children:
        assert child.stdin
        child.stdin.write(b"\n")
        child.stdin.flush()
    said = {child.communicate(timeout=60)[0] for child in children}
    assert [child.returncode for child in children] == [0, 0, 0]
    assert len(said) == 1


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeysMissing, match=r"file/keys.*TENANTRY_KEYS_DIR"):
        keys.make_development_keys(tmp_path / "file" / "keys", algorithm="EdDSA")


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256"])
def test_development_keys_are_read_by_openssl_as_they_are(tmp_path: Path, algorithm: str) -> None:
    require("openssl")
    keys.make_development_keys(tmp_path, algorithm=algorithm)
    public = openssl(tmp_path, "pkey", "-in", LICENSE_KEY, "-pubout")
    assert public == openssl(tmp_path, "pkey", "-pubin", "-in", PUBLIC_KEY)
    assert public in (tmp_path / PUBLIC_KEY).read_text()


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256"])
def test_license_is_verified_by_pyjwt_and_the_public_file_alone(
    tmp_path: Path, algorithm: str
) -> None:
    keys.make_development_keys(tmp_path, algorithm=algorithm)
    keyring = keys.load_keyring(tmp_path, production=False)
    token = licenses.sign(CLAIMS, keyring.signing)
    assert jwt.get_unverified_header(token)["alg"] == algorithm
    public = (tmp_path / PUBLIC_KEY).read_bytes()
    options = AS_OF_THEN
    found = jwt.decode(token, public, [algorithm], audience="acme", options=options)  # type: ignore[arg-type]
    assert found["sub"] == "cust-bcdfghjkmn"
    published = jwt.PyJWKSet.from_dict(keyring.jwks())
    key = published[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, [algorithm], audience="acme", options=options) == found  # type: ignore[arg-type]


def test_sealing_pair_is_made_once_and_only_the_certificate_is_public(tmp_path: Path) -> None:
    keys.make_sealing_pair(tmp_path, NOW)
    certificate = (tmp_path / SEALING_CERTIFICATE).read_bytes()
    assert mode(tmp_path / keys.SEALING_KEY) == 0o600
    keys.make_sealing_pair(tmp_path, NOW + timedelta(days=1))
    assert (tmp_path / SEALING_CERTIFICATE).read_bytes() == certificate


# Production


def test_keys_of_an_operator_are_taken(production: Path) -> None:
    keyring = keys.load_keyring(production, production=True)
    assert keyring.signing.algorithm == "EdDSA"
    vault = keys.load_vault(production, production=True)
    assert vault.unwrap(vault.wrap("value")) == "value"


def load_all(folder: Path) -> None:
    keys.load_keyring(folder, production=True)
    keys.load_vault(folder, production=True)


@pytest.mark.parametrize("name", NAMES)
def test_production_refuses_a_missing_key(production: Path, name: str) -> None:
    (production / name).unlink()
    with pytest.raises(KeysMissing, match=rf"{name} is missing \(see keys/README.md"):
        load_all(production)


@pytest.mark.parametrize("name", NAMES)
def test_production_refuses_a_key_of_development(
    production: Path, development: Path, name: str
) -> None:
    (production / name).write_bytes((development / name).read_bytes())
    with pytest.raises(KeysMissing, match=rf"{name} is a development key \(see keys/README.md"):
        load_all(production)


@pytest.mark.parametrize("name", [PUBLIC_KEY, VAULT_KEYS])
def test_production_refuses_a_ring_that_keeps_a_key_of_development(
    production: Path, development: Path, name: str
) -> None:
    with (production / name).open("ab") as file:
        file.write((development / name).read_bytes())
    with pytest.raises(KeysMissing, match=f"{name} is a development key"):
        load_all(production)


def test_production_makes_no_keys_of_its_own(tmp_path: Path) -> None:
    configured = settings.load(environment="production", data_dir=tmp_path)
    with pytest.raises(KeysMissing):
        wiring.build(configured)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", NAMES)
def test_file_that_is_no_text_is_one_error(production: Path, name: str) -> None:
    (production / name).write_bytes(b"\x30\x82\xff\x00")
    with pytest.raises(SettingsError, match=name):
        load_all(production)


def test_folder_in_place_of_a_key_is_one_error(production: Path) -> None:
    (production / VAULT_KEYS).unlink()
    (production / VAULT_KEYS).mkdir()
    with pytest.raises(KeysMissing, match=f"{VAULT_KEYS}: Is a directory"):
        load_all(production)


def test_broken_private_key_is_not_quoted(production: Path) -> None:
    text = (production / LICENSE_KEY).read_text().replace("-----END", "canary\n-----END")
    (production / LICENSE_KEY).write_text(text)
    with pytest.raises(TenantryError) as caught:
        load_all(production)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_public_file_without_the_signing_key_is_refused(
    production: Path, development: Path
) -> None:
    other = keys.load_keyring(development, production=False).signing.public_pem
    (production / PUBLIC_KEY).write_text(other)
    with pytest.raises(KeysMissing, match=r"openssl pkey -in license-key\.pem -pubout"):
        load_all(production)


def test_older_public_keys_stay_in_the_bundle_after_the_signing_one(
    production: Path, development: Path
) -> None:
    older = keys.load_keyring(development, production=False)
    newer = (production / PUBLIC_KEY).read_text()
    alone = keys.load_keyring(production, production=True).bundle_version()
    (production / PUBLIC_KEY).write_text(older.signing.public_pem + newer)
    keyring = keys.load_keyring(production, production=True)
    assert list(keyring.public) == [keyring.signing.kid, older.signing.kid]
    assert read_public_bundle(keyring.bundle()).keys() == keyring.public.keys()
    assert [key["kid"] for key in keyring.jwks()["keys"]] == list(keyring.public)
    assert keyring.bundle_version() != alone


def test_production_refuses_the_sealing_certificate_of_development(tmp_path: Path) -> None:
    keys.make_sealing_pair(tmp_path, NOW)
    cell = CellSettings(sealing_certificate=tmp_path / SEALING_CERTIFICATE)
    assert wiring.sealing_certificate(cell, production=False).fingerprint
    with pytest.raises(KeysMissing, match=r"development certificate \(kubeseal --fetch-cert"):
        wiring.sealing_certificate(cell, production=True)


def test_production_does_not_start_with_the_sealing_certificate_of_development(
    production: Path, tmp_path: Path
) -> None:
    keys.make_sealing_pair(tmp_path, NOW)
    configured = settings.load(
        environment="production",
        data_dir=tmp_path / "data",
        keys_dir=production,
        cells={"main": {"sealing_certificate": tmp_path / SEALING_CERTIFICATE}},
    )
    service = wiring.build(configured.model_copy(update={"environment": "development"}))
    service.database.close()
    with pytest.raises(KeysMissing, match="development certificate"):
        wiring.build(configured)


def test_production_does_not_start_without_the_credentials_that_the_product_asks_for(
    production: Path, tmp_path: Path
) -> None:
    certificate = Path(__file__).parent.parent / "data" / "kubeseal" / "throwaway-cert.pem"
    configured = settings.load(
        environment="production",
        data_dir=tmp_path / "data",
        keys_dir=production,
        product_dir=private_product(tmp_path / "product"),
        cells={"main": {"sealing_certificate": certificate}},
    )
    wiring.build(configured.model_copy(update={"environment": "development"})).database.close()
    with pytest.raises(SettingsError, match="MAIN__REGISTRY_CREDENTIALS_FILE"):
        wiring.build(configured)


# While the service runs


@pytest.fixture
def folder(production: Path) -> KeyFolder:
    return KeyFolder(production, production=True)


def test_changed_files_are_taken_up_without_a_restart(folder: KeyFolder) -> None:
    old = folder.keyring()
    folder.add_next()
    between = folder.keyring()
    assert between.signing.kid == old.signing.kid
    following = folder.next_key()
    assert following
    assert set(between.public) == {old.signing.kid, following.kid}
    folder.use_next()
    assert folder.keyring().signing.kid == following.kid
    assert folder.next_key() is None
    assert folder.keyring().bundle_version() == between.bundle_version()
    folder.drop([old.signing.kid])
    assert list(folder.keyring().public) == [following.kid]
    for path in folder.path.glob("*.pem"):
        assert (path.name == PUBLIC_KEY) or path.stat().st_mode & 0o077 == 0


def test_step_that_was_done_is_not_done_again(folder: KeyFolder) -> None:
    folder.add_next()
    texts = {path: path.read_bytes() for path in folder.path.glob("*.pem")}
    folder.add_next()
    assert {path: path.read_bytes() for path in folder.path.glob("*.pem")} == texts
    folder.use_next()
    signing = (folder.path / LICENSE_KEY).read_bytes()
    folder.use_next()
    assert (folder.path / LICENSE_KEY).read_bytes() == signing


def test_public_half_that_a_crash_left_out_is_added(folder: KeyFolder) -> None:
    before = (folder.path / PUBLIC_KEY).read_text()
    folder.add_next()
    (folder.path / PUBLIC_KEY).write_text(before)
    folder.add_next()
    following = folder.next_key()
    assert following
    assert following.kid in folder.keyring().public


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No longer file can be written, as on a disk that fills up in the middle of one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [50, 150])  # bytes: for a part of the next key; for that alone
def test_full_disk_stops_a_rotation_and_the_same_again_goes_on(
    folder: KeyFolder, room: int
) -> None:
    before = folder.keyring()
    with files_of_at_most(room), pytest.raises(SettingsError, match="make room there"):
        folder.add_next()
    after = KeyFolder(folder.path, production=True).keyring()
    assert (after.signing.kid, after.public.keys()) == (before.signing.kid, before.public.keys())
    folder.add_next()
    folder.use_next()
    assert folder.keyring().signing.kid != before.signing.kid


def test_key_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, on_disk = tmp_path / NEXT_KEY, []

    def fsync(file: int) -> None:
        on_disk.append((os.fstat(file).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(path, "the whole key\n")
    assert on_disk == [(len("the whole key\n"), False)]


def test_key_that_is_not_published_never_signs(folder: KeyFolder) -> None:
    write_whole(folder.path / NEXT_KEY, keys.new_license_key("EdDSA"))
    signing = folder.keyring().signing.kid
    with pytest.raises(ChangeRefused, match="the next key is not published"):
        folder.use_next()
    folder.add_next()
    folder.use_next()
    assert KeyFolder(folder.path, production=True).keyring().signing.kid != signing


@pytest.mark.parametrize(
    ("is_published", "lacking"), [(False, 0), (False, 1), (True, 0), (True, 1)]
)
def test_force_waives_only_the_tenants_that_lack_the_next_key(
    is_published: bool, lacking: int
) -> None:
    found = KeyUse("next", "next", is_published, 0, 0, None)
    census = Census((found,), tenants=1, lacking=lacking, outdated=0, left=0)
    with nullcontext() if is_published else pytest.raises(ChangeRefused, match="not published"):
        rotation.require_possible(Step.USE, census, force=True)
    with nullcontext() if is_published and not lacking else pytest.raises(ChangeRefused):
        rotation.require_possible(Step.USE, census)


def test_files_that_cannot_be_used_leave_the_keys_as_they_were(folder: KeyFolder) -> None:
    before = folder.keyring()
    (folder.path / PUBLIC_KEY).write_text("nothing")
    with capture_logs() as logs:
        assert folder.keyring() is before
        assert folder.keyring() is before
    assert [entry["event"] for entry in logs] == ["keys.unusable"]


def test_development_keys_stay_development_keys(development: Path) -> None:
    folder = KeyFolder(development, production=False)
    folder.add_next()
    folder.use_next()
    with pytest.raises(KeysMissing, match="development key"):
        load_all(development)
