# makepkg asks file what kind of archive a source is, to unpack it.
sources_of=(file)
makedepends=(cross/make cross/binutils cross/linux-headers cross/gcc cross/musl)

build() {
    cd "$srcdir"/file-*
    ./configure --build="$target" --host="$target" CC="$target-gcc" CFLAGS='-O2' LDFLAGS=-static --prefix=/mere \
        --datadir=/mere/share --disable-shared --disable-libseccomp --disable-zlib --disable-bzlib --disable-xzlib \
        --disable-zstdlib --disable-lzlib --disable-lrziplib
    make LDFLAGS=-all-static
}

package() {
    cd "$srcdir"/file-*
    install -Dm755 src/file "$pkgdir/mere/bin/file"
    "$target-strip" "$pkgdir/mere/bin/file"
    install -Dm644 magic/magic.mgc "$pkgdir/mere/share/misc/magic.mgc"
}
