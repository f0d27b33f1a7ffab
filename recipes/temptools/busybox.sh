# Everything that a configure script calls besides a compiler, in one program: busybox stands in for coreutils, sed,
# grep, awk, tar, find, diff and the rest from the first container on.
sources_of=(busybox)
makedepends=(cross/make cross/binutils cross/linux-headers cross/gcc cross/musl)

prepare() {
    cd "$srcdir"/busybox-*
    patch -p1 < "$srcdir/awk-gsub-backslash.patch"
    cp "$srcdir/config" .config
    sed -i -e '/CONFIG_STATIC[ =]/d' -e '/CONFIG_CROSS_COMPILER_PREFIX/d' .config
    printf '%s\n' CONFIG_STATIC=y "CONFIG_CROSS_COMPILER_PREFIX=\"$target-\"" >> .config
    # Unset options take their defaults. Programs that only this build runs are ours, too: no compiler of the host.
    yes '' | make HOSTCC="$target-gcc -static" oldconfig > /dev/null
}

build() {
    make -C "$srcdir"/busybox-* HOSTCC="$target-gcc -static" KCONFIG_NOTIMESTAMP=1
}

package() {
    install -Dm755 "$srcdir"/busybox-*/busybox "$pkgdir/mere/bin/busybox"
}
