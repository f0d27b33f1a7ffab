# The C++ standard library. It lies in gcc's source tree, but it can only be built once there is a C library to build
# it against.
sources_of=(gcc)
makedepends=(cross/make cross/binutils cross/linux-headers cross/gcc cross/musl)

prepare() {
    cd "$srcdir"
    tar -xf gcc-14-*/gcc-*-dfsg.tar.xz
    mv gcc-14.*[0-9] gcc
    # In a build of all of gcc, libgcc's configure makes this link: threads are POSIX threads.
    ln -s gthr-posix.h gcc/libgcc/gthr-default.h
}

build() {
    mkdir "$srcdir/build"
    cd "$srcdir/build"
    # --build: what we compile runs here, if it is static. So this library is configured by trying, as the gcc package's
    # is; for a system where nothing can be tried, configure takes half of the C library's functions to be missing.
    # -nostdlib++: the library that trials would be linked with is what is being made.
    CXX="$target-g++ -nostdlib++" LDFLAGS=-static ../gcc/libstdc++-v3/configure --build="$target" --host="$target" \
        --prefix=/mere --disable-multilib --disable-nls --disable-shared --disable-libstdcxx-pch \
        --disable-libstdcxx-filesystem-ts \
        --with-gxx-include-dir="/mere/$target/include/c++/$("$target-gcc" -dumpversion)" \
        CFLAGS='-O2 -g0' CXXFLAGS='-O2 -g0'
    make
}

package() {
    make -C "$srcdir/build" DESTDIR="$pkgdir" install-strip
    rm -rf "$pkgdir"/mere/share
    find "$pkgdir" -name '*.la' -delete
    # The compiler looks for its libraries under the target's name.
    mkdir -p "$pkgdir/mere/$target/lib"
    mv "$pkgdir"/mere/lib*/*.a "$pkgdir/mere/$target/lib/"
    rm -rf "$pkgdir"/mere/lib "$pkgdir"/mere/lib64
}
