#!/usr/bin/env bash
# Runs a command under ThreadSanitizer with what OpenMP needs: Archer tells TSan about libomp's synchronisation, and
# address-space randomisation is off because clang 14's shadow mapping needs it so.
set -euo pipefail
archer=$(find /usr/lib -name libarcher.so 2>/dev/null | head -n 1)
[ -n "$archer" ] || { echo "with_archer: libarcher.so not found; install libomp-dev" >&2; exit 1; }
export OMP_TOOL_LIBRARIES="$archer" TSAN_OPTIONS="ignore_noninstrumented_modules=1 halt_on_error=1 ${TSAN_OPTIONS:-}"
exec setarch "$(uname -m)" -R "$@"
