#!/bin/sh
# Sign every package in /packages, and what /documents says about them, with the key in /key; and make the signed
# database of the repository, all in /repository.
set -eu
mkdir -p /repository
cd /repository
for file in /packages/*/*.pkg.tar.zst /documents/*; do
    # No documents, and the pattern stands for itself.
    [ -e "$file" ] || continue
    cp "$file" .
    gpg --homedir /key --no-tty --quiet --detach-sign "${file##*/}"
done
cp /key/public.asc mere.asc
GNUPGHOME=/key repo-add --quiet --nocolor --sign --key "$(cat /key/fingerprint)" mere.db.tar.zst ./*.pkg.tar.zst
