# xz for sources and liblzma for bsdtar. In a container xz is a program of its own, since busybox only unpacks.
sources_of=(xz)
makedepends=(cross/make cross/binutils cross/linux-headers cross/gcc cross/musl)

build() {
    cd "$srcdir"/xz-*
    ./configure --build="$target" --host="$target" CC="$target-gcc" CFLAGS='-O2' LDFLAGS=-static \
        --prefix=/mere --disable-shared --disable-nls --disable-doc --disable-scripts --disable-lzmadec \
        --disable-lzmainfo --disable-lzma-links --disable-sandbox
    # -all-static is libtool's word for it; plain -static only affects libraries of this tree.
    make LDFLAGS=-all-static
}

package() {
    cd "$srcdir"/xz-*
    make DESTDIR="$srcdir/tree" install
    install -Dm755 "$srcdir/tree/mere/bin/xz" "$pkgdir/mere/bin/xz"
    "$target-strip" "$pkgdir/mere/bin/xz"
    mkdir -p "$pkgdir/dev/lib"
    cp -r "$srcdir/tree/mere/include" "$pkgdir/dev/include"
    cp "$srcdir/tree/mere/lib/liblzma.a" "$pkgdir/dev/lib/"
}
