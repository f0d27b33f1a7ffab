#!/bin/sh
# Make the key that signs this machine's repository, in /key. It never leaves the store: everybody who runs the book
# signs with a key of their own.
set -eu
umask 077
mkdir -p /key
gpg --homedir /key --batch --quiet --no-tty --gen-key <<END
Key-Type: RSA
Key-Length: 3072
Key-Usage: sign
Name-Real: Mere Linux from source
Name-Comment: the repository of this machine
Expire-Date: 0
%commit
END
gpg --homedir /key --no-tty --armor --export > /key/public.asc
gpg --homedir /key --no-tty --with-colons --fingerprint | sed -n 's/^fpr:*\([0-9A-F]*\):.*/\1/p' > /key/fingerprint
