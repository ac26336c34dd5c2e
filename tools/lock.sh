#!/bin/sh
# Writes requirements/*.txt anew from pyproject.toml. Pins stay unless pyproject.toml forbids them;
# --upgrade takes the newest of everything, --upgrade-package NAME of one.
set -eu
cd "$(dirname "$0")/.."

uv=.tools/uv/bin/uv
[ -x "$uv" ] || .venv/bin/python -m pip --disable-pip-version-check --quiet install \
    --target .tools/uv --only-binary :all: --require-hashes --requirement requirements/lock.txt

# One lock serves every platform and Python; it names no index, so that any mirror may serve it.
compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" "$@"
}
compile "$@" pyproject.toml --all-extras --output-file requirements/service.txt
compile "$@" pyproject.toml --all-extras --group dev --constraint requirements/service.txt \
    --output-file requirements/development.txt
compile "$@" --group build --constraint requirements/development.txt \
    --output-file requirements/build.txt
compile "$@" --group go --output-file requirements/go.txt
compile "$@" --group lock --output-file requirements/lock.txt
