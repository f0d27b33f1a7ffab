"""What a container must not reach, in the kernel and on the host: name, and words for the probe, which tries it inside.

The words may name places of the host, as ``$tcp``.
"""

from __future__ import annotations

NAMESPACES = {
    "new user namespace": "call unshare 0x10000000",
    "new user namespace (clone)": "call clone 0x10000011 0 0 0 0",
    "new user namespace (clone3)": "clone3 0x10000000",
    "new user namespace (32-bit call)": "call32 310 0x10000000",
    "new user namespace (x32 call)": "call 0x40000110 0x10000000",
    "new mount namespace": "call unshare 0x20000",
    "new network namespace": "call unshare 0x40000000",
    "new PID namespace": "call unshare 0x20000000",
    "new UTS namespace": "call unshare 0x4000000",
    "new IPC namespace": "call unshare 0x8000000",
    "new cgroup namespace": "call unshare 0x2000000",
    "new time namespace": "call unshare 0x80",
    "network namespace of another process": "call setns fd:/proc/1/ns/net 0x40000000",
    "capabilities that no build needs": "privileges",
    "set-uid programs gain privileges": "no-new-privileges",
}

MOUNTS = {
    "mount tmpfs": "call mount s:none s:/tmp s:tmpfs 0 0",
    "mount proc": "call mount s:none s:/tmp s:proc 0 0",
    "mount sysfs": "call mount s:none s:/tmp s:sysfs 0 0",
    "mount a folder at another place": "call mount s:/ s:/tmp s:none 0x1000 0",
    "make /proc/sys writable": "call mount s:none s:/proc/sys s:none 0x1020 0",
    "make /sys writable": "call mount s:none s:/sys s:none 0x1020 0",
    "make a read-only file of the host writable": "call mount s:none s:/bound s:none 0x1020 0",
    "uncover /proc/sys": "call umount2 s:/proc/sys 2",
    "mount an ext4 image": "call mount s:/probe s:/tmp s:ext4 0 0",
    "open ext4 (fsopen)": "call fsopen s:ext4 0",
    "open tmpfs (fsopen)": "call fsopen s:tmpfs 0",
    "copy a mount (open_tree)": "call open_tree -100 s:/ 1",
    "change a mount (mount_setattr)": "call mount_setattr -100 s:/ 0 b:64 32",
    "another root (pivot_root)": "call pivot_root s:/tmp s:/tmp",
    "mount cgroup": "call mount s:none s:/tmp s:cgroup2 0 0",
    "mount fuse": "call mount s:none s:/tmp s:fuse 0 s:fd=0,rootmode=40000,user_id=0,group_id=0",
    "mount overlay": "call mount s:none s:/tmp s:overlay 0 s:lowerdir=/bin:/proc",
    "mount binfmt_misc": "call mount s:none s:/tmp s:binfmt_misc 0 0",
    "mount debugfs": "call mount s:none s:/tmp s:debugfs 0 0",
}

SOCKETS = {
    "socket AF_VSOCK": "vsock",
    "socket AF_ALG": "socket 38 5 0",
    "socket AF_PACKET": "socket 17 3 768",
    "socket raw ICMP": "socket 2 3 1",
    "socket AF_KEY": "socket 15 3 2",
    "socket AF_BLUETOOTH": "socket 31 3 1",
    "socket AF_CAN": "socket 29 3 1",
    "socket AF_TIPC": "socket 30 1 0",
    "socket AF_RDS": "socket 21 5 0",
    "socket AF_XDP": "socket 44 3 0",
    "socket AF_SMC": "socket 43 1 0",
    "socket SCTP": "socket 2 1 132",
    "socket DCCP": "socket 2 6 33",
    "socket AF_NFC": "socket 39 3 0",
    "nf_tables": "netlink 12 2560",
    "IPsec policies (xfrm)": "netlink 6 16",
    "audit": "netlink 9 1000",
    "new network devices": "netlink 0 16",
}

CALLS = {
    "keys (add_key)": "call add_key s:user s:x s:y 1 -3",
    "keys (request_key)": "call request_key s:user s:x 0 -3",
    "keys (keyctl)": "call keyctl 0 -3 1",
    "keys (keyctl, 32-bit call)": "call32 288 0 -3 1",
    "keys that persist (keyctl)": "call keyctl 22 -1 -3",
    "bpf maps": "call bpf 0 w:2,4,4,1 72",
    "bpf programs": "call bpf 5 w:1,2,0,0,0,0 128",
    "perf events": "call perf_event_open w:1,112,0,0,0,0,0,0,0,0,0x60 0 -1 -1 0",
    "io_uring": "call io_uring_setup 8 b:128",
    "userfaultfd": "call userfaultfd 0",
    "userfaultfd of user mode": "call userfaultfd 1",
    "modules (init_module)": "call init_module b:64 64 s:",
    "modules (finit_module)": "call finit_module fd:/probe s: 0",
    "modules (delete_module)": "call delete_module s:none 0",
    "another kernel (kexec_load)": "call kexec_load 0 0 0 0",
    "another kernel (kexec_file_load)": "call kexec_file_load -1 -1 0 0 0",
    "reboot": "call reboot 0 0 0 0",
    "swap on": "call swapon s:/probe 0",
    "swap off": "call swapoff s:/probe",
    "quotas": "call quotactl 0x80000200 s:/dev/null 0 0",
    "accounting": "call acct s:/probe",
    "clock (adjtimex)": "call adjtimex w:0x4000",
    "clock (clock_adjtime)": "call clock_adjtime 0 w:0x4000",
    "ports (iopl)": "call iopl 3",
    "ports (ioperm)": "call ioperm 0 1 1",
    "files by handle": "call open_by_handle_at -100 w:8,1,1,1 0",
    "log of the kernel (syslog)": "call syslog 3 b:4096 4096",
    "terminals of the host (vhangup)": "call vhangup",
    "fanotify": "call fanotify_init 0 0",
    "kcmp": "call kcmp 1 1 1 0 0",
    "16-bit segments (modify_ldt)": "call modify_ldt 0 b:64 64",
}

FILES = {
    "core_pattern": "open w /proc/sys/kernel/core_pattern",
    "sysrq-trigger": "open w /proc/sysrq-trigger",
    "path of modprobe": "open w /proc/sys/kernel/modprobe",
    "caches of the host": "open w /proc/sys/vm/drop_caches",
    "kernel memory (/proc/kcore)": "open r /proc/kcore",
    "log of the kernel (/proc/kmsg)": "open r /proc/kmsg",
    "pages of the machine": "open r /proc/kpageflags",
    "release_agent": "open w /sys/fs/cgroup/memory/release_agent",
    "helper of events": "open w /sys/kernel/uevent_helper",
    "power of the machine": "open w /sys/power/state",
    "processors of the machine": "open w /sys/devices/system/cpu/cpu1/online",
    "path of the store": "read /proc/self/mountinfo",
}

DEVICES = {
    "node of the memory": "mknod /tmp/node c 1 1",
    "node of the disk": "mknod /tmp/node b $disk",
    "node of fuse": "mknod /tmp/node c 10 229",
    "node of the kernel's log": "mknod /tmp/node c 1 11",
    "/dev/kmsg": "open r /dev/kmsg",
    "/dev/kvm": "open rw /dev/kvm",
    "/dev/fuse": "open rw /dev/fuse",
    "/dev/vsock": "open r /dev/vsock",
    "/dev/userfaultfd": "open r /dev/userfaultfd",
    "/dev/net/tun": "open rw /dev/net/tun",
}

HOST = {
    "TCP": "inet tcp $tcp",
    "UDP": "inet udp $udp",
    "an abstract socket": "unix $abstract",
    "a socket in /tmp": "unix $tmp/tmux",
    "the session keyring": "key -3 $key",
    "shared memory (System V)": "ipc shm $ipc",
    "a message queue (System V)": "ipc msg $ipc",
    "a message queue (POSIX)": "queue $queue",
    "a terminal of the user": "write $terminal $mark",
    "the root of a process": "read /proc/$pid/root$home/.ssh/id /proc/$pid/environ /proc/$pid/cmdline",
    "a process's memory": "trace read $pid $address",
    "a process's life": "call kill $pid 9",
    "a file in /var/tmp": "read $vartmp/file",
    "descriptors that were left open": "fds",
}

SURFACE = NAMESPACES | MOUNTS | SOCKETS | CALLS | FILES | DEVICES

#: What is let through, and why: it is no way to the host. No more than three.
ALLOWED = {
    "path of the store": "the names of an overlay's layers are in the mount table; only a path is learned by it",
}
