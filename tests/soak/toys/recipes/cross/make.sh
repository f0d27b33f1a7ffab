# A stand-in for make: it runs its arguments, which are shell commands, side by side, and takes a token from the pool of
# jobs for each but the first, as make does.
sources_of=()
makedepends=()

build() {
    cat > make <<'EOF'
#!/bin/sh
pool=
for word in $MAKEFLAGS; do
    case $word in --jobserver-auth=fifo:*) pool=${word#*fifo:} ;; esac
done
[ -p "$pool" ] || pool=
"$0.job" "" "$1" & jobs=$!
shift
for command; do
    "$0.job" "$pool" "$command" & jobs="$jobs $!"
done
for job in $jobs; do wait "$job" || exit 2; done
EOF
    cat > make.job <<'EOF'
#!/bin/sh
[ -z "$1" ] || token=$(dd if="$1" bs=1 count=1 2> /dev/null)
sh -ec "$2"
status=$?
[ -z "$1" ] || printf %s "${token:-+}" > "$1"
exit $status
EOF
}

package() {
    install -Dm755 -t "$pkgdir/mere/bin" make make.job
}
