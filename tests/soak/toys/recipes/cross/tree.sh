# A tree with all that is hard to remove or to copy: hard links, read-only directories, links, many files.
sources_of=(alpha)
makedepends=(cross/make)

build() {
    # These stay behind in the work directory, in the way of whoever removes it.
    mkdir -p closed/deep
    echo closed > closed/deep/file
    ln closed/deep/file closed/deep/second
    chmod 555 closed/deep closed
    make 'sleep 0.3; seq 20000 | sha256sum > one' 'sleep 0.2; seq 30000 | sha256sum > two' 'sleep 0.4; ls alpha-1.0 > three'
}

package() {
    local number
    mkdir -p "$pkgdir/mere/share/tree/closed"
    cp one two three "$pkgdir/mere/share/tree"
    for number in $(seq 60); do echo "$number" > "$pkgdir/mere/share/tree/closed/$number"; done
    ln "$pkgdir/mere/share/tree/one" "$pkgdir/mere/share/tree/one-again"
    ln -s ../tree/one "$pkgdir/mere/share/tree/link"
    chmod 555 "$pkgdir/mere/share/tree/closed"
}
