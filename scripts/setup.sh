#!/usr/bin/env bash
# Installs the distribution packages that Microtome needs (Debian 12; Ubuntu 24.04 has them under the same names, untried).
# Usage: scripts/setup.sh build | lint | verify | bench | kit
# Quick when nothing is missing; asks for sudo only when something is, and only when not root. SETUP=no: does nothing, for
# machines whose libraries came another way (modules, conda, an administrator); Meson then names what it does not find.
set -euo pipefail
[ "${SETUP:-}" != no ] || exit 0

build="g++ meson ninja-build pkg-config python3 libtiff-dev libjpeg-dev libopenjp2-7-dev zlib1g-dev libhwy-dev libhdf5-dev libpugixml-dev
  nlohmann-json3-dev libcli11-dev libtomlplusplus-dev libfmt-dev libzip-dev libstb-dev libssl-dev libgtest-dev libbenchmark-dev"
lint="$build clang-format clang-tidy libclang-rt-dev libomp-dev"
verify="$build clang libclang-rt-dev libomp-dev libzstd-dev"
kit="$build patchelf binutils xz-utils"
bench="$build libdnnl-dev libopenslide-dev python3-torch python3-torchvision libopenblas0-pthread"

case "${1:-}" in
  build | lint | verify | bench | kit) packages=${!1} ;;
  *) echo "usage: scripts/setup.sh build | lint | verify | bench | kit" >&2; exit 2 ;;
esac

missing=()
for package in $packages; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || {
  echo "setup: this script knows Debian and Ubuntu (apt-get); please install the equivalents of: ${missing[*]}" >&2
  exit 1
}
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "setup: as root, please run: apt-get install ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
  echo "setup: sudo is needed to install packages"
fi
echo "setup: installing ${#missing[@]} packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { "${as_root[@]}" apt-get update -q && "${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 15 "$log" >&2
  echo "setup: apt-get failed; its output is in $log" >&2
  exit 1
fi
rm -f "$log"
echo "setup: done"
