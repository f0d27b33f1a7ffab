# pacman and makepkg, static and without downloads or signatures: inside a build container there is no network, and
# what is installed there comes out of the verified store.
sources_of=(pacman)
makedepends=(cross/make cross/binutils cross/linux-headers cross/gcc cross/musl
             temptools/zlib temptools/xz temptools/zstd temptools/nettle temptools/libarchive temptools/bash)

prepare() {
    cd "$srcdir"/pacman-*
    local fix
    for fix in "$srcdir"/makepkg-*.patch; do patch -p1 < "$fix"; done
    # The host's meson must take our compiler, and look for libraries among ours only.
    cat > "$srcdir/cross.ini" <<-EOF
	[binaries]
	c = '$target-gcc'
	ar = '$target-ar'
	strip = '$target-strip'
	pkg-config = 'pkg-config'
	[properties]
	needs_exe_wrapper = false
	sys_root = '$tools'
	pkg_config_libdir = '$tools/dev/lib/pkgconfig'
	[built-in options]
	c_args = ['-I$tools/dev/include']
	c_link_args = ['-static', '-L$tools/dev/lib']
	[host_machine]
	system = 'linux'
	cpu_family = 'x86_64'
	cpu = 'x86_64'
	endian = 'little'
	EOF
}

build() {
    cd "$srcdir"/pacman-*
    # musl: ldconfig: does not exist, since the loader has no cache; pacman is told so.
    meson setup build --cross-file "$srcdir/cross.ini" --prefix=/mere --sysconfdir=/mere/etc --localstatedir=/var \
        --buildtype=plain --wrap-mode=nodownload -Dc_args=-O2 -Ddefault_library=static -Dbuildstatic=true \
        -Ddoc=disabled -Di18n=false -Dcurl=disabled -Dgpgme=disabled -Dcrypto=nettle -Dfile-seccomp=disabled \
        -Dpkg-ext=.pkg.tar.zst -Dldconfig=/nonexistent
    # One job at a time: ninja knows nothing of the pool of job tokens.
    ninja -C build -j1
}

package() {
    cd "$srcdir"/pacman-*
    DESTDIR="$pkgdir" meson install -C build --no-rebuild
    rm -rf "$pkgdir"/mere/{include,lib,share/{bash-completion,zsh,pkgconfig}}
    find "$pkgdir/mere/bin" -type f -size +100k -exec "$target-strip" {} +
    # The scripts name the bash that meson found on the way.
    grep -rlI "^#!.*bash" "$pkgdir/mere/bin" "$pkgdir/mere/share" | xargs sed -i '1s#^\#!.*bash#\#!/bin/bash#'
    install -m644 "$srcdir/05-fold.sh" "$pkgdir/mere/share/makepkg/tidy/"
    install -m755 "$srcdir/fakeroot" "$pkgdir/mere/bin/"
}
