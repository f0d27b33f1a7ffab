#!/bin/sh
# Make a copy of the repository with one thing wrong, and let this system's pacman use it. It must refuse; only what is
# intact may pass.
# usage: tamper.sh package|database intact|altered|unsigned|resigned
set -eu
cp -r /repository /copy
cd /copy

case $1 in
    package) file=$(ls zlib-*.pkg.tar.zst) ;;
    database) file=mere.db.tar.zst ;;
esac
case $2 in
    intact) ;;
    altered)
        # One byte in the middle becomes its complement; the length stays.
        middle=$(($(stat -c %s "$file") / 2))
        byte=$(od -An -tu1 -j "$middle" -N 1 "$file" | tr -d ' ')
        # shellcheck disable=SC2059 # the format is the byte
        printf "\\$(printf %o $((255 - byte)))" | dd of="$file" bs=1 seek="$middle" conv=notrunc 2> /dev/null
        ;;
    unsigned) rm "$file.sig" ;;
    resigned)
        sh /recipes/key.sh
        rm "$file.sig"
        gpg --homedir /key --no-tty --quiet --detach-sign "$file"
        ;;
esac
# pacman asks for these names, which are links.
[ "$1" = package ] || { [ -e "$file.sig" ] || rm -f mere.db.sig; }

sed 's#^Include.*#Server = file:///copy#' /etc/pacman.conf > /tmp/pacman.conf
pacman --config /tmp/pacman.conf --noconfirm --noprogressbar -Sy
pacman --config /tmp/pacman.conf --noconfirm --noprogressbar -S zlib
