# bsdtar, which makepkg packs with, and the library, which pacman unpacks with.
sources_of=(libarchive)
makedepends=(cross/make cross/binutils cross/linux-headers cross/gcc cross/musl
             temptools/zlib temptools/xz temptools/zstd temptools/nettle)

build() {
    cd "$srcdir"/libarchive-*
    # Only what packages and sources need; ACLs and extended attributes have no place in either.
    ./configure --build="$target" --host="$target" CC="$target-gcc" CFLAGS='-O2' \
        CPPFLAGS="-I$tools/dev/include" LDFLAGS="-static -L$tools/dev/lib" --prefix=/dev --disable-shared \
        --enable-bsdtar=static --disable-bsdcpio --disable-bsdcat --disable-bsdunzip --with-nettle --without-openssl \
        --without-xml2 --without-expat --without-bz2lib --without-lz4 --without-iconv --disable-acl --disable-xattr
    make LDFLAGS="-all-static -L$tools/dev/lib"
}

package() {
    cd "$srcdir"/libarchive-*
    install -Dm755 bsdtar "$pkgdir/mere/bin/bsdtar"
    "$target-strip" "$pkgdir/mere/bin/bsdtar"
    install -Dm644 -t "$pkgdir/dev/lib" .libs/libarchive.a
    install -Dm644 -t "$pkgdir/dev/include" libarchive/archive.h libarchive/archive_entry.h
    # pacman's build finds libarchive through pkg-config, and links all that libarchive uses.
    mkdir -p "$pkgdir/dev/lib/pkgconfig"
    printf '%s\n' 'Name: libarchive' 'Description: reads and writes archives' 'Version: 3.7.4' \
        'Cflags: -I/dev/include' 'Libs: -L/dev/lib -larchive -llzma -lzstd -lz -lnettle' \
        > "$pkgdir/dev/lib/pkgconfig/libarchive.pc"
}
