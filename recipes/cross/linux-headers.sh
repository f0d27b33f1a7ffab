# The kernel's interface to programs: what musl's users (and gcc's own build) include as <linux/...> and <asm/...>.
sources_of=(linux-headers)
makedepends=(cross/make)

build() {
    # Debian's repack lacks files that `mrproper` wants, so the tree stays clean and the build goes elsewhere (O=).
    make -C "$srcdir"/linux-* O="$srcdir/build" ARCH=x86 HOSTCC="${CC:-gcc}" headers
}

package() {
    mkdir -p "$pkgdir/mere/sysroot"
    cp -r "$srcdir/build/usr/include" "$pkgdir/mere/sysroot/include"
    find "$pkgdir/mere/sysroot/include" -type f ! -name '*.h' -delete
}
