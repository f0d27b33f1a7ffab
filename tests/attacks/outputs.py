"""What steps and packages leave behind to harm whoever takes it: name and script.

A script of a step runs in its build, one of a package in the place of makepkg. It may end well or not: what counts is
that the library says so in words of its own, takes nothing that it should not, and can go on afterwards.
"""

from __future__ import annotations

_DEEP = "probe deep 2000"
_ESCAPES = r"printf 'title \033]0;evil\007 clipboard \033]52;c;ZXZpbA==\007 clear \033[2J\n'"

STEPS = {
    "a link in the place of $pkgdir": 'rmdir "$pkgdir"; ln -s "$vartmp" "$pkgdir"',
    "a link to the store in the place of $pkgdir": 'rmdir "$pkgdir"; ln -s "$store/key" "$pkgdir"',
    "no $pkgdir": 'rmdir "$pkgdir"',
    "a file in the place of $pkgdir": 'rmdir "$pkgdir"; echo evil > "$pkgdir"',
    "a fifo in the place of $pkgdir": 'rmdir "$pkgdir"; mkfifo "$pkgdir"',
    "a closed $pkgdir": 'echo x > "$pkgdir/x"; chmod 0 "$pkgdir"',
    "a deep output": f'cd "$pkgdir"; {_DEEP}',
    "a deep work directory": _DEEP,
    "a deep work directory of a step that fails": f"{_DEEP}; exit 3",
    "a closed work directory": "mkdir -p a/b; chmod 0 a/b a",
    "a work directory that is gone": 'rm -rf "$srcdir" "$TMPDIR"',
    "a link in the place of the work directory": 'rm -rf "$srcdir"; ln -s "$vartmp" "$srcdir"; exit 3',
    "a fifo": 'mkfifo "$pkgdir/fifo"',
    "a socket": """cp "$tools/data" .; /usr/bin/perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Listen=>1,Local=>"s")'
        mv s "$pkgdir/s" """,
    "a whiteout of overlays": 'mknod "$pkgdir/w" c 0 0',
    "an opaque directory of overlays": 'mkdir "$pkgdir/d"; probe call 188 s:$pkgdir/d s:user.overlay.opaque s:y 1 0',
    "a set-uid program": 'cp "$tools/mere/bin/probe" "$pkgdir/su"; chmod 4755 "$pkgdir/su"',
    "a set-gid program": 'cp "$tools/mere/bin/probe" "$pkgdir/su"; chmod 2755 "$pkgdir/su"',
    "a set-gid directory": 'mkdir -m 2777 "$pkgdir/d"',
    "a file that anybody may write": 'echo x > "$pkgdir/x"; chmod 666 "$pkgdir/x"',
    "a sparse file of 100 GiB": 'ulimit -f unlimited; truncate -s 100G "$pkgdir/sparse"',
    "a link to a file of the user": 'ln -s "$home/.ssh/id" "$pkgdir/id"; ln -s ../../../../../../etc "$pkgdir/etc"',
    "names of every kind": r"""cd "$pkgdir"
        for n in $'a\nb' $'\033[2J' $'\377\376' -rf '*' "$(printf %0255d)" ' ' '$(id)'
        do echo x > "./$n"; done""",
    "closed files": 'echo x > "$pkgdir/x"; mkdir "$pkgdir/d"; echo x > "$pkgdir/d/x"; chmod 0 "$pkgdir/x" "$pkgdir/d"',
    "its own runner and recipe changed": 'cd ..; for f in step.bash recipe.sh; do echo "exit 0" > $f; done',
    "a process that holds its output": "sleep 300 & disown",
    "only processes that were killed": "kill -9 -1; kill -9 $$",
    "escapes for the terminal": f"{_ESCAPES}; exit 3",
    "a log of a single long line": "head -c 250M /dev/zero | tr '\\0' x; exit 3",
    "a log of bytes that are no text": "head -c 100000 /dev/urandom; exit 3",
    "a log without end": "exec yes $(printf %05000d)",
}

PACKAGES = {
    "a link in the place of /out": "rmdir /out; ln -s $vartmp /out",
    "no /out": "rmdir /out",
    "a file in the place of /out": "rmdir /out; echo evil > /out",
    "a link to a file of the user": "ln -s $home/.ssh/id /out/$file",
    "a link to a file of anybody": "ln -s $vartmp/file /out/$file",
    "a fifo": "mkfifo /out/$file",
    "a directory": "mkdir /out/$file",
    "a whiteout of overlays": "mknod /out/$file c 0 0 || exit 3",
    "a closed file": "cp /hostile/good /out/$file; chmod 0 /out/$file",
    "a closed /out": "cp /hostile/good /out/$file; chmod 0 /out",
    "a deep /out": f"cd /out; {_DEEP}",
    "a deep /build of a build that fails": f"cd /build; {_DEEP}; exit 3",
    "a closed /build of a build that fails": "cd /build; mkdir -p a/b; chmod 0 a/b a; exit 3",
    "a link in the place of /build": "rmdir /build; ln -s $vartmp /build; exit 3",
    "no /build of a build that fails": "rm -rf /build; exit 3",
    "a sparse file of 100 GiB": "ulimit -f unlimited; truncate -s 100G /out/$file",
    "a good start, then nothing": "ulimit -f unlimited; cp /hostile/good /out/$file; truncate -s 100G /out/$file",
    "an empty file": "touch /out/$file",
    "half a package": "cp /hostile/half /out/$file",
    "a name for the shell": "cp /hostile/shell '/out/evil-1.0-1-x86_64;touch${IFS}mere-mark.pkg.tar.zst'",
    "a name for the terminal": "cp /hostile/terminal \"/out/$(printf 'evil-1.0-1-x\\033[2J').pkg.tar.zst\"",
    "a name of two lines": "cp /hostile/good \"/out/$(printf 'evil\\n-1.0-1-x86_64').pkg.tar.zst\"",
    "a name that is no text": "cp /hostile/good \"/out/$(printf 'evil\\377-1.0-1-x86_64').pkg.tar.zst\"",
    "a .PKGINFO of gigabytes": "cp /hostile/large /out/$file",
    "a .PKGINFO that is no text": "cp /hostile/bytes /out/$file",
    "a header of gigabytes": "cp /hostile/header /out/$file",
    "escapes for the terminal": f"{_ESCAPES}; exit 3",
    "a log of a single long line": "head -c 250M /dev/zero | tr '\\0' x; exit 3",
    "a repository of git in what is kept": """
        cd /build || exit; mkdir -p .git/objects .git/refs; echo ref: refs/heads/x > .git/HEAD
        printf '[core]\\n repositoryformatversion = 0\\n fsmonitor = touch /tmp/$mark-git\\n' > .git/config; exit 3""",
}
