# makepkg is a bash program.
sources_of=(bash)
makedepends=(cross/make cross/binutils cross/linux-headers cross/gcc cross/musl)

build() {
    cd "$srcdir"/bash-*
    # Its own readline and termcap will do. Without readline there is no compgen, and makepkg uses that.
    ./configure --build="$target" --host="$target" CC="$target-gcc" CC_FOR_BUILD="$target-gcc -static" \
        CFLAGS='-O2 -Wno-error=implicit-function-declaration' LDFLAGS=-static --prefix=/mere --disable-nls \
        --enable-static-link --without-bash-malloc --without-curses
    make bash
}

package() {
    install -Dm755 "$srcdir"/bash-*/bash "$pkgdir/mere/bin/bash"
    "$target-strip" "$pkgdir/mere/bin/bash"
}
