#!/usr/bin/env bash
# Prints the path of the first interpreter of a version, such as 3.13, that runs: from PATH, or from pyenv.
set -euo pipefail
for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
  if "$candidate" -c "import sys; sys.exit(sys.version_info[:2] != (${1/./, }))" 2>/dev/null; then
    command -v "$candidate"
    exit
  fi
done
echo "no Python $1 on this machine; install it, or add it to PATH" >&2
exit 1
