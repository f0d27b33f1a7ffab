# Hashes for libarchive and pacman. mini-gmp spares the temporary tools a gmp of their own.
sources_of=(nettle)
makedepends=(cross/make cross/binutils cross/linux-headers cross/gcc cross/musl)

build() {
    cd "$srcdir"/nettle-*
    ./configure --build="$target" --host="$target" CC="$target-gcc" CC_FOR_BUILD="$target-gcc -static" CFLAGS='-O2' \
        --prefix=/dev --libdir=/dev/lib --disable-shared --enable-mini-gmp --disable-openssl --disable-documentation
    make libnettle.a libhogweed.a
}

package() {
    cd "$srcdir"/nettle-*
    make DESTDIR="$pkgdir" install-headers install-static
}
