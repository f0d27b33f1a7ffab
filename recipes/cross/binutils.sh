# Assembler, linker and friends for our target. Linked statically, so that the same programs run on the host now and
# inside a build container later, where the host's C library does not exist.
sources_of=(binutils)
makedepends=(cross/make)

build() {
    mkdir "$srcdir/build"
    cd "$srcdir/build"
    # The sysroot lies inside the prefix: binutils and gcc then find it relative to themselves, wherever they are put.
    ../binutils-*/configure --prefix=/mere --target="$target" --with-sysroot=/mere/sysroot \
        --disable-nls --disable-werror --disable-multilib --disable-gprofng --disable-gdb --disable-gdbserver \
        --disable-sim --disable-gold --disable-plugins --disable-shared --enable-deterministic-archives \
        --enable-new-dtags --enable-default-hash-style=gnu \
        CFLAGS='-O1 -g0' CXXFLAGS='-O1 -g0' LDFLAGS=--static
    make MAKEINFO=true
}

package() {
    cd "$srcdir/build"
    make MAKEINFO=true DESTDIR="$pkgdir" install-strip
    rm -rf "$pkgdir"/mere/share "$pkgdir"/mere/lib "$pkgdir"/mere/include
}
