#!/bin/sh
# Builds the real API server and the real kube-proxy for tests (integration/kube) into .weft/kube, unless they are there already.
# Cold: minutes and 2 to 3 GB of Go's caches; unchanged: nothing runs, not even Go. Needs: Go, network for the first time.
set -eu
cd "$(dirname "$0")/.."
out=.weft/kube
source=integration/kube
minor=26

stamp=$(cat "$source/go.mod" "$source/go.sum" "$source"/*/*.go scripts/kube-build.sh | sha256sum | cut -d ' ' -f 1)
if [ -x "$out/api-server" ] && [ -x "$out/kube-proxy" ] && [ "$(cat "$out/stamp" 2>/dev/null)" = "$stamp" ]; then
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
rm -f "$out/stamp"
began=$(date +%s)
echo "kube-build: building kube-apiserver and kube-proxy into $out; the first time takes minutes"
(cd "$source" && nice -n 10 go build -buildvcs=false -ldflags="-s -w" -o "../../$out/" ./api-server ./kube-proxy)
echo "$stamp" >"$out/stamp"
echo "kube-build: built in $(($(date +%s) - began)) s"
