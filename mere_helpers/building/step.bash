# Runs one step: unpacks its sources, then its functions, each starting in $srcdir.
# usage: step.bash RECIPE [ARCHIVE...]   with srcdir, pkgdir and tools in the environment
set -eu
umask 022
: "${srcdir:?}" "${pkgdir:?}" "${tools:?}"
recipe=$1
shift

cd "$srcdir"
for archive in "$@"; do
    echo "==> unpack ${archive##*/}"
    tar -xf "$archive"
done

# shellcheck disable=SC1090 # the recipe is an argument
source "$recipe"
for phase in prepare build package; do
    if declare -F "$phase" > /dev/null; then
        echo "==> $phase"
        cd "$srcdir"
        "$phase"
    fi
done
