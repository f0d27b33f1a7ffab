# The pacman that installs packages into layers: that of the host, in a directory of its own with all it needs, a shell
# included, so that it works where there is nothing else.
sources_of=()
makedepends=(cross/make temptools/programs)

build() { :; }

package() {
    local library name
    mkdir -p "$pkgdir"/mere/{bin,lib/pacman}
    install -m755 "$(command -v pacman)" "$pkgdir/mere/lib/pacman/program"
    for library in $(ldd "$(command -v pacman)" | grep -o '/[^ )]*' | grep '\.so'); do
        name=${library##*/}
        if [ -e "$tools/lib/$name" ]; then library=$tools/lib/$name; fi
        install -m755 "$library" "$pkgdir/mere/lib/pacman/$name"
    done
    cat > "$pkgdir/mere/bin/pacman" <<'EOF'
#!/bin/sh
lib=${0%/*}/../lib/pacman
exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$lib/program" "$@"
EOF
    chmod 755 "$pkgdir/mere/bin/pacman"
    mkdir "$pkgdir/bin"
    install -m755 "$tools/bin/busybox" "$pkgdir/bin"
    ln -s busybox "$pkgdir/bin/sh"
}
