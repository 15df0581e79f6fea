#!/usr/bin/env bash
# Builds and tests Microtome in bare roots of distributions, as a newcomer finds them: nothing but git and make beside what debootstrap gives.
# Needs root, debootstrap and a Debian mirror (MIRROR=, or that of this machine's sources). Usage: verify_distributions.sh [SUITE[:COMPILER]]…
#   verify_distributions.sh bookworm trixie trixie:clang++        default: bookworm and trixie with g++ and with clang++
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { echo "verify-distributions: skipped, only root can make roots"; exit 0; }
command -v debootstrap >/dev/null || apt-get install -y -q debootstrap >/dev/null || { echo "verify-distributions: skipped, no debootstrap"; exit 0; }
mirror=${MIRROR:-$(grep -rhoE 'https?://[^ ]*debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n 1 || true)}
mirror=${mirror:-http://deb.debian.org/debian}
target=${MAKE_TARGET:-test}
failed=0
[ $# -gt 0 ] || set -- bookworm:g++ bookworm:clang++ trixie:g++ trixie:clang++
for wanted in "$@"; do
  suite=${wanted%%:*} compiler=g++
  [ "$suite" = "$wanted" ] || compiler=${wanted#*:}
  root=$(mktemp -d -p "${ROOTS:-/var/tmp}" "microtome-$suite.XXXX")
  started=$SECONDS
  {
    debootstrap --variant=minbase --include=ca-certificates,git,make "$suite" "$root" "$mirror"
    for file in /etc/apt/apt.conf.d/*proxy* /etc/resolv.conf; do [ ! -e "$file" ] || cp "$file" "$root$file"; done
    mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev"
    mkdir "$root/microtome" && git archive HEAD | tar -x -C "$root/microtome"
  } >"$root.log" 2>&1 || { echo "$wanted: no root ($root.log)"; failed=1; continue; }
  bare=$SECONDS
  more=""
  [ "$compiler" = g++ ] || more="apt-get update -q && apt-get install -y -q --no-install-recommends clang libomp-dev && export CC=clang CXX=clang++;"
  if chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 bash -c "cd /microtome; $more make $target" >>"$root.log" 2>&1; then verdict=passed; else verdict=FAILED failed=1; fi
  echo "$wanted: make $target $verdict, $((SECONDS - bare)) s behind $((bare - started)) s of bootstrap: $(tail -n 1 "$root.log")   ($root.log)"
  umount -l "$root/proc" "$root/dev" || true
  [ -n "${KEEP_ROOTS:-}" ] || rm -rf --one-file-system "$root"
done
exit $failed
