"""A Secret that is not sealed is found, however it is written; what is none is not."""

from __future__ import annotations

import codecs

import pytest

from tenantry.core.plain_secret import holds_plain_secret

PLAIN = "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {a: b}\n"

SECRETS = {
    "alone": PLAIN,
    "second document": f"kind: ConfigMap\n---\n{PLAIN}",
    "json": '{"apiVersion": "v1", "kind": "Secret"}',
    "list": f"kind: List\nitems:\n- kind: ConfigMap\n- {PLAIN.replace(chr(10), chr(10) + '  ')}",
    "list of secrets": "kind: SecretList\nitems: [{kind: Secret}]\n",
    "list within a list": "kind: List\nitems: [{kind: List, items: [{kind: Secret}]}]\n",
    "escaped": 'kind: "\\x53ecret"\n',
    "generated": "kind: Component\nsecretGenerator: [{name: x, literals: [a=b]}]\n",
    "broken": f"{PLAIN}  nowhere: [\n",
    "broken json": '{"kind": "Secret", ',
    "tagged": f"{PLAIN}x: !!python/object:os.system {{}}\n",
    "windows": PLAIN.replace("\n", "\r\n"),
}

HARMLESS = {
    "sealed": "kind: SealedSecret\nspec: {template: {type: Opaque}}\n",
    "mentioned": "kind: Deployment\nspec: {env: [{secretKeyRef: {name: x, key: kind}}]}\n",
    "a comment": "# kind: Secret\nkind: ConfigMap\n",
    "a store": "kind: SecretStore\n",
    "broken and sealed": "kind: SealedSecret\nx: [\n",
    "no generator": "kind: Component\nsecretGenerator: []\n",
    "empty": "",
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS)
def test_a_secret_is_found(text: str) -> None:
    assert holds_plain_secret("folder/file.yaml", text.encode())


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_what_is_none_is_not_found(text: str) -> None:
    assert not holds_plain_secret("folder/file.yaml", text.encode())


def test_the_name_of_the_file_does_not_matter() -> None:
    assert holds_plain_secret("notes", PLAIN.encode())


def test_a_text_that_tells_of_secrets_is_none() -> None:
    told = "# Secrets\n\n```yaml\nkind: Secret\n```\n- [never: do that\n"
    assert not holds_plain_secret("README.md", told.encode())


def test_other_encodings_hide_nothing() -> None:
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF8, "utf-8")):
        assert holds_plain_secret("x.yaml", mark + PLAIN.encode(encoding))
    assert holds_plain_secret("x.yaml", PLAIN.encode() + b"# \xff\n")


def test_a_list_that_holds_itself_many_times_over_is_read_once() -> None:
    lines = ["kind: List", "items:", "- &a0 {kind: List, items: []}"]
    for number in range(1, 60):
        again = ", ".join([f"*a{number - 1}"] * 9)
        lines.append(f"- &a{number} {{kind: List, items: [{again}]}}")
    assert not holds_plain_secret("x.yaml", ("\n".join(lines) + "\n# Secret\n").encode())
