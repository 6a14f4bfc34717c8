#!/bin/sh
# sh scripts/kube-build.sh [kube-proxy]: builds the real API server for tests (integration/kube) into .weft/kube, and the real kube-proxy
# if named, which only benches need. Cold: minutes and 2 to 3 GB of Go's caches; unchanged: nothing runs, not even Go. Needs: Go,
# network for the first time.
set -eu
cd "$(dirname "$0")/.."
out=.weft/kube
source=integration/kube
minor=26

case ${1:-} in
  '') programs="api-server" ;;
  kube-proxy) programs="api-server kube-proxy" ;;
  *)
    echo "usage: sh scripts/kube-build.sh [kube-proxy]" >&2
    exit 2
    ;;
esac

stamp=$(cat "$source/go.mod" "$source/go.sum" "$source"/*/*.go scripts/kube-build.sh | sha256sum | cut -d ' ' -f 1)
missing=
for program in $programs; do
  [ -x "$out/$program" ] && [ "$(cat "$out/$program.stamp" 2>/dev/null)" = "$stamp" ] || missing="$missing $program"
done
if [ -z "$missing" ]; then
  echo "kube-build: $out is up to date"
  exit 0
fi

# Asked inside the module, where a Go of 1.21 or later fetches the one that go.mod names.
version=$(cd "$source" && go version 2>/dev/null | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p') || version=
if [ "${version:-0}" -lt "$minor" ]; then
  echo "kube-build: Go >= 1.$minor is missing${version:+ (found: Go 1.$version)}: install it from https://go.dev/dl and put it into PATH" >&2
  exit 1
fi

mkdir -p "$out"
for program in $missing; do
  began=$(date +%s)
  echo "kube-build: building $program into $out; the first time takes minutes"
  rm -f "$out/$program.stamp"
  (cd "$source" && nice -n 10 go build -buildvcs=false -ldflags="-s -w" -o "../../$out/" "./$program")
  echo "$stamp" >"$out/$program.stamp"
  echo "kube-build: built $program in $(($(date +%s) - began)) s"
done
