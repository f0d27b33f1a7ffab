# GNU make 4.4.1, linked statically against the host's C library. Every later build shares one pool of job tokens
# through a fifo, which make understands since 4.4; the host's own make may be older.
sources_of=(make)
makedepends=()

build() {
    cd "$srcdir"/make-*
    # Debian's repack leaves out doc/ and the manual page; nothing else refers to them.
    sed -i -e 's/^\(SUBDIRS *=.*\) doc/\1/' -e 's/^man_MANS *=.*/man_MANS =/' Makefile.in
    sed -i 's# doc/Makefile# #g' configure
    ./configure --prefix=/mere --disable-nls --without-guile CFLAGS='-O2 -g0' LDFLAGS=-static
    make
}

package() {
    cd "$srcdir"/make-*
    install -Dm755 make "$pkgdir/mere/bin/make"
    strip "$pkgdir/mere/bin/make"
}
