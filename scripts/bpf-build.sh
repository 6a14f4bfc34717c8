#!/bin/sh
# Builds bpf/*.bpf.c and bpf/test/*.bpf.c into bpf/dist (or --out DIR). The objects are committed, so users need no clang;
# paths are relative and BTF line info is kept, so the same compiler gives the same bytes anywhere.
# Needs: clang, llvm, libbpf-dev, linux-libc-dev.
set -eu
cd "$(dirname "$0")/.."
out=bpf/dist
case "${1:-}" in
  --out) out=${2:?--out needs a folder} ;;
  "") ;;
  *) echo "usage: scripts/bpf-build.sh [--out DIR]" >&2; exit 2 ;;
esac
for tool in clang llvm-strip; do
  command -v "$tool" >/dev/null || { echo "bpf-build: $tool is missing: apt-get install clang llvm libbpf-dev" >&2; exit 1; }
done
mkdir -p "$out"
for source in bpf/*.bpf.c bpf/test/*.bpf.c; do
  [ -e "$source" ] || continue
  object="$out/$(basename "$source" .c).o"
  clang -target bpf -O2 -g -mcpu=v3 -Wall -Wextra -Werror -D__x86_64__ -I/usr/include/x86_64-linux-gnu \
    -ffile-prefix-map="$PWD"=. -fdebug-compilation-dir=. -c "$source" -o "$object"
  llvm-strip -g "$object"
done
