# Programs of the host that containers of the first round work with, and the libraries they need. They are laid out as in
# the finished toy system, so that the packages can take them from the root.
sources_of=()
makedepends=(cross/make cross/program)

build() {
    [ "$(seven; echo $?)" = 7 ]
    sleep 0.2
}

# Copy programs, with the libraries that they are linked with, to $1/bin and $1/lib.
take() {
    local target=$1 program library name
    shift
    mkdir -p "$target/bin" "$target/lib"
    for program; do
        install -m755 "$(command -v "$program")" "$target/bin/"
        for library in $(ldd "$target/bin/$program" | grep -o '/[^ )]*' | grep '\.so' || true); do
            name=${library##*/}
            case $name in
                # 30 MB of tables that nothing here ever looks at; only the loader wants the symbol.
                libicudata.so.*)
                    echo "const char icudt${name##*.}_dat[64] = {0};" |
                        gcc -shared -nostdlib -Wl,-soname,"$name" -x c -o "$target/lib/$name" - ;;
                *) install -m755 "$library" "$target/lib/$name" ;;
            esac
        done
    done
}

package() {
    take "$pkgdir" bash busybox bsdtar zstd
    ln -s . "$pkgdir/usr"
    ln -s lib "$pkgdir/lib64"
    install -m755 "$tools/mere/bin/make" "$tools/mere/bin/make.job" "$pkgdir/bin"
    mkdir -p "$pkgdir/share"
    cp -r /usr/share/makepkg "$pkgdir/share/makepkg"
    # As our own makepkg, it has to work as root, and what it asks pacman has no answer here.
    sed 's/EUID == 0/EUID == -1/' "$(command -v makepkg)" > "$pkgdir/bin/makepkg"
    printf '#!/bin/sh\n' > "$pkgdir/bin/pacman"
    # shellcheck disable=SC2016 # the words are for the script
    printf '#!/bin/bash\n[ "$1" = -v ] && exit\nshift\nFAKEROOTKEY=1 exec "$@"\n' > "$pkgdir/bin/fakeroot"
    chmod 755 "$pkgdir"/bin/{makepkg,pacman,fakeroot}
}
