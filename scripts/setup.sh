#!/bin/sh
# Makes a fresh clone ready: sh scripts/setup.sh demo|test|check|bench. Called by npm before the script of that name, with whatever
# Node the machine has. Quiet and quick when nothing is to do.
set -eu
cd "$(dirname "$0")/.."

# Debian packages, each list in this one place.
run_packages="iproute2 util-linux libbpf1 openssl"
build_packages="clang llvm libbpf-dev linux-libc-dev libc6-dev bpftool"
# The load programs of benches, and what Weft is measured beside.
bench_packages="gcc libc6-dev libssl-dev nftables iptables"

purpose=${1:-}
case $purpose in
  demo) packages=$run_packages ;;
  test | check) packages="$run_packages $build_packages" ;;
  bench) packages="$run_packages $bench_packages" ;;
  *)
    echo "usage: sh scripts/setup.sh demo|test|check|bench" >&2
    exit 2
    ;;
esac

say() { echo "setup: $*"; }

# Runs "$@" silently; shows what it said only if it fails.
quietly() {
  output=$(mktemp)
  if "$@" >"$output" 2>&1 </dev/null; then
    rm -f "$output"
    return 0
  fi
  cat "$output" >&2
  rm -f "$output"
  return 1
}

install_modules() {
  stamp=node_modules/.weft-setup
  wanted=$(sha256sum package-lock.json)
  if [ -x node_modules/.bin/node ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return; fi
  command -v npm >/dev/null || {
    say "npm is missing: install Node with npm, any version from 20" >&2
    exit 1
  }
  say "installing node modules and the pinned Node (npm ci)"
  quietly npm ci --no-audit --no-fund --loglevel=error || {
    say "npm ci failed: see above; is the npm registry reachable?" >&2
    exit 1
  }
  echo "$wanted" >"$stamp"
}

missing_packages() {
  for package in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

install_packages() {
  command -v dpkg-query >/dev/null || return 0
  # One call for all is ten times faster than one for each, which is only needed when something is missing.
  # shellcheck disable=SC2086
  if dpkg-query -W -f '${db:Status-Status}\n' $packages 2>/dev/null | sort -u | grep -qvx installed || ! dpkg-query -W $packages >/dev/null 2>&1; then
    missing=$(missing_packages | tr '\n' ' ')
    if [ "$(id -u)" -ne 0 ]; then
      say "missing and not root: run 'sudo apt-get install $missing'" >&2
      # What needs them is skipped out loud by the demo and the tests.
      [ "$purpose" != check ] || exit 1
      return 0
    fi
    say "installing Debian packages: $missing"
    export DEBIAN_FRONTEND=noninteractive
    quietly apt-get update -q || say "apt-get update failed, trying with the lists that are there" >&2
    # shellcheck disable=SC2086
    quietly apt-get install -y -q --no-install-recommends $missing || {
      say "apt-get install failed: see above; install by hand: $missing" >&2
      exit 1
    }
  fi
}

install_modules
install_packages
