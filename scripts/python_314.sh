#!/usr/bin/env bash
# Prints the path of a Python 3.14, with venv, that runs on this machine: an installed one, or that of Debian testing.
#
# The machine's apt downloads Debian testing's packages from its mirror; the script unpacks them in the cache. It installs
# and mounts nothing: the interpreter loads its C library and the other libraries from there, so it also runs on an older
# Debian. Needs apt, dpkg-deb and patchelf, but not root.
set -euo pipefail

works() { "$1" -c 'import ensurepip, ssl, sys; sys.exit(sys.version_info[:2] != (3, 14))' 2>/dev/null; }

for python in python3.14 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.14.*/bin/python; do
  if works "$python"; then
    command -v "$python"
    exit
  fi
done

for program in apt-get dpkg-deb patchelf; do
  command -v "$program" >/dev/null || { echo "no Python 3.14 on this machine, and no $program to download one; install $program" >&2; exit 1; }
done

suite=testing
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
cache="${XDG_CACHE_HOME:-$HOME/.cache}/aws-oidc-sidecar"
kept="$cache/python-3.14"
python="$kept/usr/bin/python3.14"
mkdir -p "$cache"
exec 9>"$kept.lock"
flock 9     # only one of two concurrent runs downloads it
if works "$python"; then
  echo "$python"
  exit
fi

# shellcheck disable=SC2016 # the names are apt's
mirror="$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" { print $2; exit }')"
test -n "$mirror" || { echo "apt has no Debian mirror; run apt-get update" >&2; exit 1; }

# Unpacked in its final directory, because files have absolute paths; it is complete when it runs.
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial"
touch "$scratch/status"
echo "deb [signed-by=$keyring] $mirror $suite main" >"$scratch/sources.list"
# A separate apt state without installed packages; it has this machine's settings for the mirror.
apt=(apt-get -qq -o "Dir::Etc::SourceList=$scratch/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o "Dir::State::Lists=$scratch/lists" -o "Dir::State::status=$scratch/status" -o "Dir::Cache=$scratch/cache"
  -o "Dir::Cache::archives=$scratch/cache/archives" -o APT::Sandbox::User=root)
"${apt[@]}" update >&2
"${apt[@]}" install --yes --no-install-recommends --download-only python3.14-venv >&2
rm -rf "$kept"
mkdir -p "$kept"
for package in "$scratch"/cache/archives/*.deb; do
  dpkg-deb --extract "$package" "$kept"
done

# The same name under lib and lib64: the directories of this architecture's libraries and loader.
libraries="$(dirname "$(find "$kept/usr/lib" -name libc.so.6)")"
loader="$(find "$libraries" -name 'ld-linux*.so.*')"
# RPATH and not RUNPATH: it also applies to libraries that libraries and extension modules load.
patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$python"
# Debian has pip's wheel in a separate package, and its path is in this file.
sed -i "s#'/usr/share/python-wheels#'$kept/usr/share/python-wheels#" "$kept"/usr/lib/python3.14/_sysconfigdata*.py
works "$python" || { echo "Python 3.14 of Debian $suite does not run on this machine" >&2; exit 1; }
echo "$python"
