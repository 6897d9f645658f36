#!/usr/bin/env bash
# Builds wheel and sdist, installs each into a fresh environment, and runs the smoke test there, away from the sources.
# PYTHON: the Python to build with. VENV_OPTIONS: for `python -m venv`, such as --system-site-packages.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
python=$(realpath --no-symlinks "${PYTHON:-python3}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rm -rf "$here/dist"
"$python" -m venv "$work/build"
"$work/build/bin/python" -m pip install --quiet -c "$here/constraints.txt" build
"$work/build/bin/python" -m build --outdir "$here/dist" "$here"

for file in "$here"/dist/*.whl "$here"/dist/*.tar.gz; do
    name=$(basename "$file")
    echo "smoke test of $name"
    # shellcheck disable=SC2086
    "$python" -m venv ${VENV_OPTIONS:-} "$work/$name"
    "$work/$name/bin/python" -m pip install --quiet -c "$here/constraints.txt" "$(grep -E '^torch==' "$here/constraints.txt")"
    "$work/$name/bin/python" -m pip install --quiet -c "$here/constraints.txt" "$file"
    cd "$work"
    PATH="$work/$name/bin:$PATH" "$here/experiments/smoke.sh" "$work/results-$name"
done
ls -l "$here/dist"
