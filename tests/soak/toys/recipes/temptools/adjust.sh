# Where the root's directories and busybox's names are; the real step of this name does the same for the temporary tools.
sources_of=()
makedepends=(cross/tree temptools/programs)

build() { sleep 0.2; }

package() {
    local tool
    mkdir -p "$pkgdir"/{bin,etc,proc,sys,dev,tmp,var/lib/pacman}
    printf '[options]\nSigLevel = Never\n' > "$pkgdir/etc/pacman.conf"
    echo "root:x:0:0::/:/bin/sh" > "$pkgdir/etc/passwd"
    for tool in $("$tools/bin/busybox" --list); do
        [ -e "$tools/bin/$tool" ] || [ "$tool" = busybox ] || ln -s busybox "$pkgdir/bin/$tool"
    done
}
