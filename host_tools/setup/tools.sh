#!/bin/sh
# Names what is missing before anything is fetched. Usage: tools.sh PYTHON
python="$1"
missing=0
need() {
    command -v "$1" >/dev/null 2>&1 && return
    echo "setup: $1 is missing: $2" >&2
    missing=1
}
need "$python" "install Python 3.11 or newer (Debian: apt-get install python3 python3-venv)"
need npm "install Node.js 20 or newer with npm (Debian: apt-get install nodejs npm)"
if command -v "$python" >/dev/null 2>&1; then
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "setup: $("$python" --version) is too old: install 3.11 or newer, or name one: make PYTHON=python3.12 ..." >&2
        missing=1
    }
    "$python" -c 'import ensurepip, venv' 2>/dev/null || {
        echo "setup: $python has no venv module (Debian: apt-get install python3-venv)" >&2
        missing=1
    }
fi
exit $missing
