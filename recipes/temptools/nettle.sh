# Hashes for libarchive and pacman; without public keys, which would need gmp.
sources_of=(nettle)
makedepends=(cross/make cross/binutils cross/linux-headers cross/gcc cross/musl)

build() {
    cd "$srcdir"/nettle-*
    # Static programs of ours run on the host, so configure may try them as if they were native.
    ./configure --build="$target" --host="$target" CC="$target-gcc" CFLAGS='-O2' LDFLAGS=-static \
        --prefix=/dev --libdir=/dev/lib --disable-shared --disable-public-key --disable-openssl --disable-documentation
    make libnettle.a
}

package() {
    cd "$srcdir"/nettle-*
    make DESTDIR="$pkgdir" install-headers install-static install-pkgconfig
}
