# The compiler, for C and C++, and libgcc. It is built once, as static programs: the host uses it for the temporary
# tools, and the build containers use the very same files for round 1. Linux From Scratch builds gcc two or three
# times to get as far.
sources_of=(gcc gmp mpfr mpc musl)
makedepends=(cross/make cross/binutils cross/linux-headers)

prepare() {
    cd "$srcdir"
    tar -xf gcc-14-*/gcc-*-dfsg.tar.xz
    mv gcc-14.*[0-9] gcc
    mv gmp-* gcc/gmp
    mv mpfr-* gcc/mpfr
    mv mpc-* gcc/mpc
    # gmp's repack has no manual.
    sed -i 's/^\(SUBDIRS *=.*\) doc/\1/' gcc/gmp/Makefile.in
    sed -i 's# doc/Makefile##' gcc/gmp/configure
    # gcc's repack has an emptied manual; the rule that compares it with the sources would stop the build.
    sed -i '/^s-tm-texi:/,/^$/c\s-tm-texi:\n\ttouch $@\n' gcc/gcc/Makefile.in
    # musl: limits.h: gcc's own includes it only if it was there first, or PATH_MAX is missing later; headers come first.
    make -C musl-* DESTDIR="$tools/mere/sysroot" prefix= ARCH=x86_64 install-headers
    ln -sfn . "$tools/mere/sysroot/usr"
}

build() {
    mkdir "$srcdir/build"
    cd "$srcdir/build"
    # Everything that needs more than a C library, or that only developers of gcc use, stays out; so does zstd, which is
    # for LTO, and which one host has and another has not.
    # musl: libsanitizer: knows the insides of glibc; left out.
    ../gcc/configure --prefix=/mere --target="$target" \
        --with-sysroot=/mere/sysroot --with-build-sysroot="$tools/mere/sysroot" \
        --enable-languages=c,c++ --enable-checking=release --enable-threads=posix --enable-default-pie \
        --disable-shared --disable-nls --disable-multilib --disable-bootstrap --disable-lto --disable-plugin \
        --disable-libsanitizer --disable-libssp --disable-libquadmath --disable-libgomp --disable-libvtv \
        --disable-libitm --disable-libatomic --disable-libcc1 --disable-fixincludes --disable-libstdcxx-pch \
        --disable-gcov --disable-analyzer --disable-c++-tools --disable-libstdcxx --without-zstd \
        CFLAGS='-O1 -g0' CXXFLAGS='-O1 -g0' LDFLAGS=-static \
        CFLAGS_FOR_TARGET='-O2 -g0' CXXFLAGS_FOR_TARGET='-O2 -g0'
    make MAKEINFO=true all-gcc all-target-libgcc
}

package() {
    cd "$srcdir/build"
    make MAKEINFO=true DESTDIR="$pkgdir" install-strip-gcc install-target-libgcc
    rm -rf "$pkgdir"/mere/share "$pkgdir"/mere/lib/gcc/*/*/install-tools "$pkgdir"/mere/libexec/gcc/*/*/install-tools
}
