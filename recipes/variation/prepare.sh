#!/bin/sh
# Runs in the container before makepkg, when a build is varied: another name for root, the library that shifts time, and
# a date that it can shift, too.
set -eu
cd /variation
cc -O1 -Wall -shared -fPIC elsewhere.c -o elsewhere.so
sed 's/^root:/somebody:/' /etc/passwd > passwd
cat passwd > /etc/passwd
rm /bin/date
install -m 755 date /bin/date
