# The whole "adjust the toolchain" step. Inside a container the temporary tools lie in /mere; this tree puts their names
# where every program looks for them (/bin), and makes the container's own root the compiler's sysroot. Nothing that is
# built then has a reason to remember /mere. A real package, once installed, lies above and hides these links.
sources_of=()
makedepends=(cross/make cross/binutils cross/gcc temptools/busybox temptools/bash temptools/xz temptools/zstd
             temptools/libarchive temptools/file temptools/pacman)

build() { :; }

package() {
    local tool
    mkdir -p "$pkgdir"/{bin,mere,proc,sys,dev,tmp}
    ln -s / "$pkgdir/mere/sysroot"
    for tool in "$tools"/mere/bin/*; do
        tool=${tool##*/}
        ln -s "/mere/bin/$tool" "$pkgdir/bin/$tool"
        # The compiler and the binutils answer to their short names, too.
        ln -sf "/mere/bin/$tool" "$pkgdir/bin/${tool#"$target-"}"
    done
    ln -s "/mere/bin/$target-gcc" "$pkgdir/bin/cc"
    # busybox's names come last: bash, xz, make and the binutils keep theirs.
    for tool in $("$tools/mere/bin/busybox" --list); do
        [ -e "$pkgdir/bin/$tool" ] || [ -L "$pkgdir/bin/$tool" ] || ln -s /mere/bin/busybox "$pkgdir/bin/$tool"
    done
}
