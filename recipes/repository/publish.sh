#!/bin/sh
# Sign every package in /packages with the key in /key, and make the signed database of the repository in /repository.
set -eu
mkdir -p /repository
cd /repository
for package in /packages/*/*.pkg.tar.zst; do
    cp "$package" .
    gpg --homedir /key --no-tty --quiet --detach-sign "${package##*/}"
done
cp /key/public.asc mere.asc
GNUPGHOME=/key repo-add --quiet --nocolor --sign --key "$(cat /key/fingerprint)" mere.db.tar.zst ./*.pkg.tar.zst
