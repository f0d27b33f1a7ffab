# The host's own compiler takes part.
sources_of=()
makedepends=(cross/make)

build() {
    echo 'int main(void) { return 7; }' > seven.c
    gcc -O1 -o seven seven.c
    sleep 0.3
}

package() {
    install -Dm755 seven "$pkgdir/mere/bin/seven"
}
