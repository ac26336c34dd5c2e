#!/bin/sh
# Installs the service into PREFIX, a virtual environment with the locked packages and nothing else.
# Usage: install-service.sh PREFIX   Needs Python 3.11 or newer; PYTHON names another than python3.
set -eu
mkdir -p "$1"
prefix=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# install ENVIRONMENT ARGUMENT...
install() {
    environment=$1
    shift
    "$environment/bin/python" -m pip --disable-pip-version-check --no-cache-dir --quiet \
        install --only-binary :all: "$@"
}

# The build's own packages stay out of the image.
"$python" -m venv "$work/build"
install "$work/build" --require-hashes --requirement requirements/build.txt
"$work/build/bin/python" -m hatchling build --target wheel --directory "$work/wheel"

"$python" -m venv "$prefix"
install "$prefix" --require-hashes --requirement requirements/service.txt
install "$prefix" --no-deps --no-index "$work"/wheel/*.whl
"$prefix/bin/python" -m pip --quiet uninstall --yes pip

cp deploy/image/healthcheck.py "$prefix/bin/healthcheck"
chmod 755 "$prefix/bin/healthcheck"
