# The C library, into the cross compiler's sysroot. The container's root later holds the musl *package* instead.
sources_of=(musl)
makedepends=(cross/make cross/binutils cross/gcc)

prepare() {
    cd "$srcdir"/musl-*
    patch -p1 -i "$srcdir/security.patch"
}

build() {
    cd "$srcdir"/musl-*
    CC="$target-gcc" CFLAGS='-O2 -g0' ./configure --target="$target" --prefix= --syslibdir=/lib
    make CROSS_COMPILE="$target-"
}

package() {
    make -C "$srcdir"/musl-* DESTDIR="$pkgdir/mere/sysroot" install
    ln -s . "$pkgdir/mere/sysroot/usr"
}
