#!/bin/sh
# Runs a command with uv at hand, on a machine that has only Python 3.11 or newer:
#   sh scripts/with-uv.sh uv run pytest
# uv on the PATH is used if it works; otherwise it is installed into .tools/, for this repository alone.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

# A name on the PATH proves nothing (pyenv's shims may lead nowhere): a Python counts when it runs.
find_python() {
    for candidate in python3.14 python3.13 python3.12 python3.11 python3 python \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python; do
        if "$candidate" -c "$new_enough" >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

# pyenv's shims serve only the versions it is told: tell it all of them, so that uv finds each Python.
if command -v pyenv >/dev/null 2>&1; then
    versions=$(pyenv versions --bare 2>/dev/null | grep -E '^[0-9.]+$' | sort -t. -k1,1nr -k2,2nr -k3,3nr | paste -sd: -)
    if [ -n "$versions" ]; then
        export PYENV_VERSION="$versions"
    fi
fi

if ! uv --version >/dev/null 2>&1; then
    tools=$PWD/.tools
    if ! "$tools/bin/uv" --version >/dev/null 2>&1; then
        if ! python=$(find_python); then
            say "No Python 3.11 or newer runs here: install one (or uv), then try again."
            exit 1
        fi
        say "uv is not here: installing it into .tools/ (only for this repository) ..."
        rm -rf "$tools"
        if ! "$python" -m venv "$tools" >/dev/null 2>&1; then
            rm -rf "$tools"
            say "$python cannot make a virtual environment: install its venv module (on Debian: python3-venv), or uv."
            exit 1
        fi
        if ! "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "uv>=0.13"; then
            rm -rf "$tools"
            say "pip could not fetch uv: see what it says above."
            exit 1
        fi
    fi
    # Only uv itself: the other programs of that environment are nobody's business.
    mkdir -p "$tools/path"
    ln -sf ../bin/uv "$tools/path/uv"
    ln -sf ../bin/uvx "$tools/path/uvx"
    PATH="$tools/path:$PATH"
    export PATH
fi

exec "$@"
