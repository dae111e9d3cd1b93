# SPDX-License-Identifier: Apache-2.0
# What the scripts of this folder share: where the cache is, how a thing is built once.
# shellcheck shell=bash

set -euo pipefail
umask 022
vm=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gutctl
mkdir -p "$cache"
unset PYTHONPATH PYTHONHOME

say() { echo "setup: $*" >&2; }
die() { echo "setup: $*" >&2; exit 1; }

# key FILE-OR-WORD...: twelve digits that name what these files and words make
key() {
    local item
    for item in "$@"; do
        if [ -f "$item" ]; then cat "$item"; else echo "$item"; fi
    done | sha256sum | cut -c1-12
}

# build_once TARGET COMMAND...: run COMMAND with "$new" to fill, unless TARGET stands already.
# A build that is interrupted leaves nothing under the final name; a second one waits for the first.
build_once() {
    local target=$1
    shift
    [ -e "$target" ] && return 0
    (
        exec 9>"$target.lock"
        flock 9
        [ -e "$target" ] && exit 0
        new=$(mktemp -d "$target.XXXXXX")
        trap 'rm -rf "$new"' EXIT
        trap 'exit 130' INT TERM
        chmod 755 "$new"
        started=$SECONDS
        "$@" >&2 9>&-
        [ -e "$new/it" ] || die "nothing was built for $target"
        mv -T "$new/it" "$target"
        say "  done in $((SECONDS - started)) s"
    )
}
