# Library for libarchive (bsdtar, pacman); it stays on the host (dev/): a static library that is not position
# independent, left where a container's linker can see it, breaks shared links there.
sources_of=(zlib)
makedepends=(cross/make cross/binutils cross/linux-headers cross/gcc cross/musl)

build() {
    cd "$srcdir"/zlib-*
    CHOST="$target" CFLAGS='-O2' ./configure --static --prefix=/dev
    make libz.a
}

package() {
    cd "$srcdir"/zlib-*
    install -Dm644 -t "$pkgdir/dev/include" zlib.h zconf.h
    install -Dm644 -t "$pkgdir/dev/lib" libz.a
}
