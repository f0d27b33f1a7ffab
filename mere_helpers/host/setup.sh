#!/usr/bin/env bash
# Bring a host to the point where `python -m mere_helpers check` passes: the distribution's own packages, a range of
# user ids for containers, the Python environment, a path to the store. Asks for nothing, and changes nothing that is
# already right: on a machine that is ready it takes a second and needs no privileges.
# usage: setup.sh [tests]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Only what changes the system goes through this, so that an ordinary user is asked for a password at most then.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif has sudo; then sudo "$@"
    elif has doas; then doas "$@"
    else die "root is needed for: $* (no sudo here; run this line as root, then start again)"
    fi
}

has() { command -v "$1" > /dev/null 2>&1; }
has_static() { case "$("$1" -print-file-name="$2" 2> /dev/null)" in /*) ;; *) return 1 ;; esac; }

has_static_busybox() { has busybox && ! grep -q /ld- "$(command -v busybox)"; }
has_chromium() { has chromium || has chromium-browser || has google-chrome; }

find_python() {
    local candidate
    for candidate in "${MERE_PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

python_has_venv() { "$(find_python)" -c 'import ensurepip, venv' 2> /dev/null; }

# What only the tests need: who does not ask for it has it.
tests() { [ "$purpose" != tests ] || "$@"; }

# The first of its names that has a column in the table.
family() (
    # shellcheck source=/dev/null
    . /etc/os-release 2> /dev/null || :
    for name in ${ID:-} ${ID_LIKE:-}; do
        case $name in debian | fedora | arch | alpine) echo "$name" && return ;; esac
    done
)

install_packages() {
    local purpose=${1:-} family probe debian fedora arch alpine wanted=()
    family=$(family)
    # shellcheck disable=SC2034  # the columns are read by the name of the family
    while IFS='|' read -r probe debian fedora arch alpine; do
        case $probe in '#'*) continue ;; esac
        # shellcheck disable=SC2086  # a probe is a command with its arguments
        if $probe > /dev/null 2>&1; then continue; fi
        [ -n "$family" ] || die "missing: $probe (this distribution's packages are not known here: install it by hand)"
        wanted+=("${!family}")
    done < mere_helpers/host/requirements.tsv
    [ ${#wanted[@]} -gt 0 ] || return 0
    mapfile -t wanted < <(printf '%s\n' "${wanted[@]}" | sort -u)
    say "installing ${wanted[*]}"
    case $family in
        debian)
            as_root apt-get update -q
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${wanted[@]}" ;;
        fedora) as_root dnf install -y "${wanted[@]}" ;;
        arch) as_root pacman -S --needed --noconfirm "${wanted[@]}" ;;
        alpine) as_root apk add "${wanted[@]}" ;;
    esac
}

# A container's root is an ordinary, powerless id outside. These come from a range that belongs to the user, and to
# nobody else, in each of two files, /etc/subuid and /etc/subgid.
give_id_range() {
    local user uid gid file count start missing=0
    uid=$(id -u) gid=$(id -g)
    user=$(id -un 2> /dev/null) || user=$uid
    for file in "$@"; do
        count=$(count_ids "$user" "$uid" "$file")
        [ "$count" -lt 65536 ] || continue
        # Others may count on how it is, such as containers of other programs.
        [ "$count" = 0 ] || die "$user has a range of $count ids in $file, and 65536 are needed: widen it there"
        missing=1
    done
    [ $missing = 1 ] || return 0
    if [ "$uid" != 0 ] && ! has sudo && ! has doas; then
        start=$(free_id "$user" "$uid" "$gid" "$@")
        die "$user needs 65536 ids: let root write $user:$start:65536 into $*, then start again"
    fi
    as_root bash -euc "$(declare -f say die count_ids used_ids free_id add_id_range)"'; add_id_range "$@"' setup \
        "$user" "$uid" "$gid" "$@"
}

# How many ids the longest range of a user has in a file. Names are compared as text, never as patterns or numbers.
count_ids() {
    # Not by -v, where awk reads backslashes: a name may be DOMAIN\user.
    { cat "$3" 2> /dev/null || :; } | user=$1 uid=$2 awk -F: '
        $1 "" != ENVIRON["user"] "" && $1 "" != ENVIRON["uid"] "" { next }
        $2 ~ /^[0-9]+$/ && $3 ~ /^[0-9]+$/ && $3 + 0 > most { most = $3 + 0 }
        END { printf "%.0f\n", most }'
}

# START COUNT of all ids that are in use: by anybody's range in these files but the user's own, or by an account.
used_ids() {
    local user=$1 uid=$2 gid=$3
    shift 3
    echo "$uid 1"
    echo "$gid 1"
    { getent passwd; getent group; } 2> /dev/null | awk -F: '$3 ~ /^[0-9]+$/ { print $3, 1 }'
    { cat "$@" 2> /dev/null || :; } | user=$user uid=$uid awk -F: '
        $1 "" != ENVIRON["user"] "" && $1 "" != ENVIRON["uid"] "" && $2 ~ /^[0-9]+$/ && $3 ~ /^[0-9]+$/ { print $2, $3 }'
}

# The first id from 100000 on that begins 65536 free ones.
free_id() {
    # As text, because awks print numbers beyond 2147483647 in other ways.
    used_ids "$@" | sort -n | awk '
        BEGIN { first = 100000 }
        $1 < first + 65536 && $1 + $2 > first { first = $1 + $2 }
        END { printf "%.0f\n", first }'
}

# As root: two users, or one of them twice, may be at this at once, so everything is looked at again under a lock.
add_id_range() {
    local user=$1 uid=$2 gid=$3 start file
    shift 3
    umask 022
    exec 9>> "$1"
    flock 9
    start=$(free_id "$user" "$uid" "$gid" "$@")
    [ "$start" -le $((4294967294 - 65536)) ] || die "no 65536 ids are free in $*"
    for file in "$@"; do
        [ "$(count_ids "$user" "$uid" "$file")" = 0 ] || continue
        say "giving $user the ids $start to $((start + 65535)) in $file"
        # The last line may lack its end.
        if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then echo >> "$file"; fi
        printf '%s:%s:65536\n' "$user" "$start" >> "$file"
    done
}

make_environment() {
    local python stamp=.venv/requirements.stamp
    python=$(find_python) || die "no Python 3.11 or newer; install one, or name it: MERE_PYTHON=/path/to/python3 make setup"
    # An environment knows its own path: a moved or copied checkout needs a new one.
    if [ -f $stamp ] && { pwd && cat requirements.txt; } | cmp -s - $stamp && .venv/bin/python -c ''; then return 0; fi
    say 'preparing .venv, which takes a minute or two'
    "$python" -m venv --clear .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
    # A notebook's kernel starts in notebooks/ and must find the library, whichever front end started it.
    pwd > "$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/mere.pth"
    { pwd && cat requirements.txt; } > $stamp
    say 'ready: make bootstrap, or .venv/bin/jupyter lab notebooks/01-host.ipynb'
}

# JupyterLab would otherwise see no more than the folder of the notebook that it is started with, neither recipes nor
# pages; and show no drawings in notebooks that nobody here has run or vouched for.
configure_jupyter() {
    mkdir -p .venv/etc/jupyter
    .venv/bin/python -c 'import json, sys; print(json.dumps({"ServerApp": {"root_dir": sys.argv[1]}}))' "$PWD" \
        > .venv/etc/jupyter/jupyter_server_config.json
    # Nobody needs it who does not step through the book; a home that cannot be written to is no reason to stop here.
    .venv/bin/jupyter trust notebooks/*.ipynb > /dev/null 2>&1 ||
        say 'JupyterLab will not show pictures of chapters before they are run: jupyter trust failed'
}

install_packages "$@"
give_id_range /etc/subuid /etc/subgid
make_environment
configure_jupyter
.venv/bin/python -m mere_helpers open
