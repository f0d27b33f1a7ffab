"""Escapes from steps and cells: name and script, for a shell that knows the places of the host as variables.

What a script does is judged outside, by its effects: see `Outside.effects`.
"""

from __future__ import annotations

#: Files of the user and of the store.
FILES = {
    "reads the user's ssh key": 'cat "$home/.ssh/id"',
    "reads the store's signing key": 'cat "$store/key/secret"',
    "reads the key of the substitutes": 'cat "$store/substitutes.key"',
    "reads a file of anybody in /var/tmp": 'cat "$vartmp/file"',
    "writes .bashrc": 'echo evil >> "$home/.bashrc"',
    "writes a unit of the user's systemd": 'echo evil > "$home/.config/systemd/user/evil.service"',
    "writes into the checkout": 'echo evil >> "$checkout/recipes/canary"',
    "opens the Python environment for writing": 'probe open rw "$prefix/pyvenv.cfg"',
    "changes another entry of the store": """
        s=$(stat -c %Y "$entry"); chmod u+w "$entry"; printf X 1<> "$entry"; touch -d "@$s" "$entry" """,
    "changes a tool and puts size, time and mode back": 'probe put-back "$tools/data"',
    "changes a tool in the store": 'probe put-back "$tool_tree/data"',
    "changes the work directory of another build": 'echo evil > "$store/work/steps/other/src/file"',
    "takes the work directory of another build away": 'mv "$store/work/steps/other" "$store/work/steps/mine"',
    "makes a file in the host's /tmp": "echo evil > /tmp/$mark-$$",
    "makes a file in the host's /var/tmp": "echo evil > /var/tmp/$mark-$$",
    "makes a file in the host's /dev/shm": "echo evil > /dev/shm/$mark-$$",
    "writes a file of anybody in the host's /tmp": 'echo evil >> "$tmp/file"',
    "takes a file of anybody away": 'mv "$vartmp/file" "$vartmp/gone"',
    "opens /etc/passwd for writing": "probe open w /etc/passwd",
    "opens /etc/ld.so.cache for writing": "probe open w /etc/ld.so.cache",
    "may make files in /etc/cron.d": """
        [ -w /etc/cron.d ] && [ "$(stat -c %d:%i /etc/cron.d)" = "$cron" ] && echo "= ok 0" """,
    "sees changes of files of the host (inotify)": 'probe watch "$home/lock"',
    "holds a lock of the host": 'probe hold "$home/lock"',
    "leaves a program in the host's /tmp": 'cp "$tools/mere/bin/probe" "/tmp/$mark-run"',
}

#: The network, and everything else that listens.
TALK = {
    "talks TCP to the host": "probe inet tcp $tcp",
    "talks TCP over IPv6 to the host": "probe inet tcp6 $tcp6",
    "talks UDP to the host": "probe inet udp $udp",
    "asks a name server of the host": """
        printf '\\1\\2\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\1a\\0\\0\\1\\0\\1' > /dev/udp/127.0.0.1/$udp""",
    "has a way to the network": "[ $(wc -l < /proc/net/route) -gt 1 ] && echo '= ok 0'",
    "talks to an abstract socket": 'probe unix "$abstract"',
    "talks to a socket in /tmp": 'probe unix "$tmp/tmux"',
    "talks to a socket in /var/tmp": 'probe unix "$vartmp/bus"',
    "talks to a socket in /run": 'probe unix "$run/bus"',
    "talks to a socket of a group": 'probe unix "$run/docker.sock"',
    "asks the ssh agent": 'probe unix "$agent"',
    "binds an AF_VSOCK socket": "probe vsock",
}

#: Other processes, their terminals and memory.
PROCESSES = {
    "writes to a terminal of the user": 'echo "$mark" > "$terminal"',
    "reads a terminal of the user": 'probe read "$terminal"',
    "types into a terminal of the user": 'probe type-into "$terminal"',
    "reads shared memory (System V)": "probe ipc shm $ipc",
    "reads a message queue (System V)": "probe ipc msg $ipc",
    "reads a semaphore (System V)": "probe ipc sem $ipc",
    "reads a message queue (POSIX)": 'probe queue "$queue"',
    "reads the session keyring": 'probe key -3 "$key"',
    "reads the user keyring": 'probe key -4 "$key"',
    "reads the user session keyring": 'probe key -5 "$key"',
    "reads command lines of the host": "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
    "reads the environment of a process": 'tr "\\0" " " < "/proc/$pid/environ"',
    "reads files by way of a process's root": 'cat "/proc/$pid/root$home/.ssh/id"',
    "reads files by way of a process's directory": 'cat "/proc/$pid/cwd/.ssh/id"',
    "reads files by way of a process's descriptors": 'cat "/proc/$pid/fd/9"',
    "reads the memory of a process": "probe trace read $pid $address",
    "reads the memory of a process in /proc": 'dd "if=/proc/$pid/mem" bs=1 skip=$(($address)) count=60 status=none',
    "takes a descriptor of a process": "probe trace descriptor $pid",
    "traces a process": "probe trace attach $pid",
    "ends a process": "kill -9 $pid",
    "ends all processes it can": "kill -9 -1",
    "changes the priority of a process": "probe call setpriority 0 $pid 5",
    "changes the processors of a process": "probe call sched_setaffinity $pid 8 w:1",
    "reads descriptors that it inherited": "probe fds",
    "leaves a process behind": "probe stay; sleep 0.2",
    "forges job tokens": 'printf ++++++++ 1<> "$fifo"',
    "keeps job tokens": 'read -rn2 -t 1 all < "$fifo"',
}

#: More rights, devices, and what the kernel offers.
KERNEL = {
    "runs a set-uid program that adds ids": """
        unshare --user sleep 1 & sleep 0.3; newuidmap $! 0 100000 65536 && echo '= ok 0'; kill $!""",
    "runs a set-uid program of root": "probe no-new-privileges; su -c id < /dev/null",
    "mounts a disk of the host": """
        mknod "$TMPDIR/disk" b $disk && mount "$TMPDIR/disk" "$srcdir" && echo '= ok 0'
        mount "$node" "$srcdir" && echo '= ok 0'""",
    "opens the disk of the host": 'probe open rw "$node"',
    "makes a node of the disk of the host": 'probe mknod "$TMPDIR/node" b $disk',
    "makes a node of the memory": 'probe mknod "$TMPDIR/node" c 1 1',
    "opens devices of the host": """
        for f in kmsg mem kvm fuse vsock userfaultfd loop-control tty0; do probe open r /dev/$f; done""",
    "opens core_pattern for writing": "probe open w /proc/sys/kernel/core_pattern",
    "opens sysrq-trigger for writing": "probe open w /proc/sysrq-trigger",
    "opens the program of modprobe for writing": "probe open w /proc/sys/kernel/modprobe",
    "opens release_agent for writing": "for f in /sys/fs/cgroup/*/release_agent; do probe open w $f; done",
    "opens the host's cgroups for writing": """
        for f in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do probe open w $f; done""",
    "loads a kernel module": "probe call init_module b:64 64 s:; probe call finit_module 0 s: 0",
    "makes a bpf map": "probe call bpf 0 w:2,4,4,1 72",
    "counts events (perf)": "probe call perf_event_open w:1,112,0,0,0,0,0,0,0,0,0x60 0 -1 -1 0",
    "uses io_uring": "probe call io_uring_setup 8 b:128",
    "uses userfaultfd": "probe call userfaultfd 1",
    "adds keys to the kernel": "probe call add_key s:user s:x s:y 1 -3",
    "makes a user namespace": "probe call unshare 0x10000000",
    "makes a user namespace by a 32-bit call": "probe call32 310 0x10000000",
    "changes nf_tables": "unshare --user --map-root-user --net -- probe netlink 12 2560; probe netlink 12 2560",
    "sets the clock": "probe call adjtimex w:0x4000",
    "names the host": '[ "$(readlink /proc/self/ns/uts)" = "$uts" ] && probe call sethostname s:$hostname ${#hostname}',
    "is in the host's IPC namespace": '[ "$(readlink /proc/self/ns/ipc)" != "$ipcns" ] || echo "= ok 0"',
    "is in the host's cgroup namespace": '[ "$(readlink /proc/self/ns/cgroup)" != "$cgroupns" ] || echo "= ok 0"',
    "reads the kernel's log": "probe call syslog 3 b:4096 4096",
    "boots the machine": "probe call reboot 0 0 0 0",
    "opens a file by its handle": "probe call open_by_handle_at -100 w:8,1,1,1 0",
}

ALL = FILES | TALK | PROCESSES | KERNEL

#: Cells get the same tools; what the desk itself needs of the host is no escape from them.
IN_CELLS = [
    "reads the user's ssh key", "reads the store's signing key", "writes .bashrc", "changes another entry of the store",
    "changes a tool in the store", "makes a file in the host's /tmp", "opens /etc/passwd for writing",
    "talks TCP to the host", "talks UDP to the host", "talks to an abstract socket", "talks to a socket in /run",
    "writes to a terminal of the user", "reads shared memory (System V)", "reads command lines of the host",
    "reads the memory of a process", "ends a process", "leaves a process behind", "uses io_uring",
]  # fmt: skip
