# Reads the recipe file $1, in the current folder, and prints what recipe.py wants to know, as NUL-separated records:
# a name, the number of values, the values.
# shellcheck shell=bash disable=SC2154

# A recipe that prints something while it is read must not disturb the records.
# shellcheck disable=SC1090
source "./$1" >&2
set +eu

_mere_record() {
    printf '%s\0' "$1" "$(($# - 1))" "${@:2}"
}

for _mere_name in pkgbase pkgname epoch pkgver pkgrel pkgdesc arch url license depends makedepends source sha256sums \
    noextract install changelog _debian _time_limit sources_of; do
    # An array that is empty was declared; one that is missing was forgotten.
    if declare -p "$_mere_name" &> /dev/null; then
        declare -n _mere_values=$_mere_name
        _mere_record "$_mere_name" "${_mere_values[@]}"
        unset -n _mere_values
    fi
done

mapfile -t _mere_functions < <(compgen -A function | grep -v '^_mere_')
_mere_record functions "${_mere_functions[@]}"

# makepkg lets a package function change the fields of its package. The function itself cannot run here, so its
# assignments are picked out of it, as `makepkg --printsrcinfo` does.
for _mere_name in "${pkgname[@]}"; do
    _mere_function=package_$_mere_name
    declare -F "$_mere_function" > /dev/null || _mere_function=package
    (
        while read -r _mere_line; do
            [[ $_mere_line =~ ^((depends|license)\+?=\(|(pkgdesc|install|changelog)=) ]] && eval "$_mere_line"
        done < <(declare -f "$_mere_function")
        _mere_record "pkgdesc of $_mere_name" "${pkgdesc[@]}"
        _mere_record "license of $_mere_name" "${license[@]}"
        _mere_record "depends of $_mere_name" "${depends[@]}"
        _mere_record "extra files of $_mere_name" ${install:+"$install"} ${changelog:+"$changelog"}
    )
done
