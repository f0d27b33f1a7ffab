#!/bin/sh
# Install packages into the empty folder /system, from the repository in /repository and with pacman alone.
# usage: install.sh FINGERPRINT PACKAGE...
set -eu
fingerprint=$1
shift
keys=/system/etc/pacman.d/gnupg

# What a pacman of its own will trust: one key, and only because we say so.
mkdir -p /system/var/lib/pacman /system/var/cache/pacman/pkg
install -d -m 755 /system/etc /system/etc/pacman.d "$keys"
gpg --homedir "$keys" --no-tty --quiet --import /repository/mere.asc
echo "$fingerprint:6:" | gpg --homedir "$keys" --no-tty --quiet --import-ownertrust
gpg --homedir "$keys" --no-tty --quiet --check-trustdb
chmod 644 "$keys"/*.gpg

cat > /pacman.conf <<END
[options]
Architecture = x86_64
SigLevel = Required
DisableSandbox
[mere]
Server = file:///repository
END
pacman --root /system --config /pacman.conf --gpgdir "$keys" --cachedir /tmp --logfile /dev/null \
    --noconfirm --noprogressbar -Sy "$@"
echo 'Server = file:///repository' > /system/etc/pacman.d/mirrorlist
