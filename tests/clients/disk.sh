#!/bin/sh
# The disk under the store is full, becomes read-only, and stands still: weir serves from memory and the origin, says so,
# and recovers by itself. The disks are file systems of the test's own, in a mount namespace of its own; where the machine
# does not allow that, a limit on the size of files stands in for the full disk.
own_origin=yes
# shellcheck source=tests/clients/stage
. "$(dirname "$0")/stage"

command -v python3 >/dev/null || fail "python3 is not installed"
test() {
    "$@" python3 "$(dirname "$0")/disk.py" "${WEIR:-build/weir}" "$dir" "$origin" "$site" "$admin" "$kinds"
}
if unshare -m true 2>/dev/null; then
    kinds="full read-only still" # the last two need a loop device, and are left out where there is none
    test unshare -m
elif unshare -Urm true 2>/dev/null; then
    kinds=full
    test unshare -Urm
else
    kinds=limited
    test env
fi
