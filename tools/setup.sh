#!/bin/sh
# Sets the checkout up: finds a Python that can do it and hands over to tools/setup.py.
# Usage: tools/setup.sh STEP...   PYTHON=path chooses the Python.
set -eu
cd "$(dirname "$0")/.."

# Prints the interpreter itself, also where the name on PATH is a virtual environment's.
usable='
import sys
if sys.version_info < (3, 11):
    sys.exit(3)
try:
    import ensurepip, venv
except ImportError:
    sys.exit(4)
print(getattr(sys, "_base_executable", sys.executable))
'
without_venv=
for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    code=0
    python=$("$name" -c "$usable" 2>/dev/null) || code=$?
    [ "$code" -eq 0 ] && exec "$python" -m tools.setup "$@"
    [ "$code" -eq 4 ] && without_venv=$name
done

if [ -n "$without_venv" ]; then
    echo "set-up: $without_venv lacks the modules venv and ensurepip" \
        "(on Debian and Ubuntu: apt-get install python3-venv)" >&2
elif [ -n "${PYTHON:-}" ]; then
    echo "set-up: PYTHON=$PYTHON is no Python 3.11 or newer" \
        "(leave it out, or name one that is)" >&2
else
    echo "set-up: no Python 3.11 or newer on PATH" \
        "(install one, or name it: make PYTHON=/path/to/python3 ...)" >&2
fi
exit 1
