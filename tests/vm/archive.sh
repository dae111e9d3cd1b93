# SPDX-License-Identifier: Apache-2.0
# Packages of other Debian suites than this machine's: a private apt, whose lists lie in the cache. It reads the archives
# that this machine's apt is configured for, and installs nothing. For scripts that have read common.sh.
# shellcheck shell=bash

# lists are fetched anew when they are older
archive_seconds=$((24 * 3600))

# archive_of SUITE: prints the lines of sources.list for a suite
archive_of() {
    local codename wanted=
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    [ "${1%-security}" = "$1" ] || wanted=-security
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
        awk -v have="$codename$wanted" -v want="$1" '$1 == "Debian" && $3 == have && !seen[$2]++ {
            print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $2, want, "main" }'
}

# archive_open NAME SUITE...: what archive_apt and archive_cache below speak to, with lists that are fresh enough
archive_open() {
    local name=$1 suite place
    shift
    place=$cache/archive-$name
    archive_place=$place
    mkdir -p "$place"/lists/partial "$place"/archives/partial
    archive=(-o "Dir::Etc::sourcelist=$place/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$place/lists"
        -o "Dir::Cache=$place" -o "Dir::Cache::archives=$place/archives" -o APT::Sandbox::User=root -o Acquire::Languages=none
        -o Acquire::Retries=3 -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null)
    exec 8>"$place/lock"
    flock 8
    for suite in "$@"; do archive_of "$suite"; done >"$place/sources.new"
    [ -s "$place/sources.new" ] || die "apt knows no archive of Debian for ${1}: run apt-get update"
    cmp -s "$place/sources.new" "$place/sources.list" || {
        mv "$place/sources.new" "$place/sources.list"
        rm -f "$place/fresh"
    }
    if [ -z "$(find "$place/fresh" -newermt "@$(($(date +%s) - archive_seconds))" 2>/dev/null)" ]; then
        say "reading the package lists of $*"
        if apt-get "${archive[@]}" update >"$place/log" 2>&1; then
            touch "$place/fresh"
        elif [ -f "$place/fresh" ]; then
            say "they could not be had (see $place/log); going on with those of $(date -r "$place/fresh" '+%F')"
        else
            tail -n 15 "$place/log" >&2
            die "the package lists of $* could not be had"
        fi
    fi
    exec 8>&-
}

# archive_newest PACKAGE: prints its highest version and the suite that has it
archive_newest() {
    apt-cache "${archive[@]}" madison "$1" | awk -F'[|]' '{ split($3, where, " "); sub("/.*", "", where[2]); gsub(" ", "", $2)
        print $2, where[2] }' | sort -rV | head -n 1
}

# archive_needs PACKAGE VERSION PATTERN: prints the names in its Depends that match, first alternatives only
archive_needs() {
    apt-cache "${archive[@]}" show "$1=$2" | sed -n 's/^Depends: //p' | head -n 1 | tr ',' '\n' |
        sed 's/|.*//; s/^ *//; s/[ (:].*//' | grep -E "$3" || true
}

# archive_unpack FOLDER PACKAGE...: downloads packages (NAME or NAME=VERSION) and unpacks them into FOLDER
archive_unpack() {
    local folder=$1 package
    shift
    mkdir "$folder.debs" "$folder"
    (cd "$folder.debs" && apt-get "${archive[@]}" download "$@" >log 2>&1) || {
        tail -n 5 "$folder.debs/log" >&2
        rm -f "$archive_place/fresh"
        return 1
    }
    for package in "$folder.debs"/*.deb; do dpkg-deb -x "$package" "$folder"; done
    rm -rf "$folder.debs"
}
