# Packages are zstd archives: the program for makepkg, the library for bsdtar and pacman.
sources_of=(zstd)
makedepends=(cross/make cross/binutils cross/linux-headers cross/gcc cross/musl)

build() {
    cd "$srcdir"/zstd-*
    make -C lib libzstd.a CC="$target-gcc" AR="$target-ar" CFLAGS='-O2'
    make -C programs zstd CC="$target-gcc" AR="$target-ar" CFLAGS='-O2' LDFLAGS=-static \
        HAVE_ZLIB=0 HAVE_LZMA=0 HAVE_LZ4=0
}

package() {
    cd "$srcdir"/zstd-*
    install -Dm755 programs/zstd "$pkgdir/mere/bin/zstd"
    "$target-strip" "$pkgdir/mere/bin/zstd"
    install -Dm644 -t "$pkgdir/dev/lib" lib/libzstd.a
    install -Dm644 -t "$pkgdir/dev/include" lib/zstd.h lib/zstd_errors.h lib/zdict.h
}
