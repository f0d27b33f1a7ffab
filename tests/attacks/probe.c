/* One attempt each at something that a sandbox must not allow: `probe VERB WORDS...`; `probe batch FILE` makes many.
 *
 * What was seen is printed and judged by the tests, outside:
 *   = ok N, = ENAME         a call that no build needs returned N, or failed
 *   ! ENAME                 something else failed
 *   @ DEV INO RDEV MODE F   the file F could be opened
 * Whatever else is printed may hold a secret of the host, which the tests look for.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MARK "mere-mark"
#define LENGTH(array) (sizeof(array) / sizeof *(array))

static int report(long result)
{
	if (result == -1)
		printf("= %s\n", strerrorname_np(errno) ? strerrorname_np(errno) : "unknown");
	else
		printf("= ok %ld\n", result);
	return result == -1;
}

static int fail(void)
{
	printf("! %s\n", strerrorname_np(errno) ? strerrorname_np(errno) : "unknown");
	return 1;
}

static void show(int file)
{
	char text[4096];
	ssize_t size;
	int rounds = 0;

	while (rounds++ < 64 && (size = read(file, text, sizeof text)) > 0) {
		for (ssize_t i = 0; i < size; i++)
			putchar(isprint((unsigned char)text[i]) ? text[i] : '\n');
	}
	putchar('\n');
}

#define CALL(name) { #name, SYS_##name }
static const struct { const char *name; long number; } calls[] = {
	CALL(unshare), CALL(setns), CALL(clone), CALL(mount), CALL(umount2), CALL(fsopen), CALL(open_tree), CALL(pivot_root),
	CALL(add_key), CALL(request_key), CALL(keyctl), CALL(bpf), CALL(perf_event_open), CALL(io_uring_setup),
	CALL(userfaultfd), CALL(init_module), CALL(finit_module), CALL(delete_module), CALL(kexec_load), CALL(reboot),
	CALL(kexec_file_load), CALL(swapon), CALL(swapoff), CALL(quotactl), CALL(acct), CALL(adjtimex), CALL(clock_adjtime),
	CALL(iopl), CALL(ioperm), CALL(open_by_handle_at), CALL(syslog), CALL(vhangup), CALL(fanotify_init), CALL(kcmp),
	CALL(modify_ldt), CALL(sethostname), CALL(setpriority), CALL(prctl), CALL(sched_setaffinity), CALL(kill),
	CALL(mount_setattr), CALL(setdomainname), CALL(pidfd_open), CALL(uselib),
};

/* A word as an argument: a number, s:TEXT, b:SIZE of zeros, w:32-bit words (in a page of zeros), fd:PATH. */
static long argument(char *word)
{
	if (!strncmp(word, "s:", 2))
		return (long)(word + 2);
	if (!strncmp(word, "b:", 2))
		return (long)calloc(1, strtoul(word + 2, NULL, 0));
	if (!strncmp(word, "fd:", 3))
		return open(word + 3, O_RDONLY);
	if (!strncmp(word, "w:", 2)) {
		uint32_t *words = calloc(1, 4096);
		int count = 0;
		for (char *part = strtok(word + 2, ","); part; part = strtok(NULL, ","))
			words[count++] = strtoul(part, NULL, 0);
		return (long)words;
	}
	return strtol(word, NULL, 0);
}

static int call(int count, char **words)
{
	long number = strtol(words[0], NULL, 0), values[6] = { 0 };

	for (size_t i = 0; i < LENGTH(calls); i++)
		if (!strcmp(words[0], calls[i].name))
			number = calls[i].number;
	for (int i = 1; i < count && i < 7; i++)
		values[i - 1] = argument(words[i]);
	return report(syscall(number, values[0], values[1], values[2], values[3], values[4], values[5]));
}

/* The door for 32-bit programs: a filter that knows 64-bit calls only does not see it. */
static int call32(int count, char **words)
{
	long values[4] = { 0 };
	int result;

	for (int i = 0; i < count && i < 4; i++)
		values[i] = argument(words[i]);
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(values[0]), "b"(values[1]), "c"(values[2]), "d"(values[3])
			 : "memory", "r8", "r9", "r10", "r11");
	errno = -result;
	return report(result < 0 ? -1 : result);
}

static int clone3_user(int count, char **words)
{
	uint64_t arguments[11] = { strtoul(words[0], NULL, 0), 0, 0, 0, SIGCHLD };
	long result = syscall(SYS_clone3, arguments, sizeof arguments);

	(void)count;
	return result ? report(result) : 0;
}

static int open_file(int count, char **words)
{
	int flags = !strcmp(words[0], "r") ? O_RDONLY : !strcmp(words[0], "w") ? O_WRONLY : O_RDWR;
	int file;
	struct stat s;

	(void)count;
	if ((file = open(words[1], flags | O_NONBLOCK | O_NOCTTY)) < 0 || fstat(file, &s))
		return fail();
	printf("@ %u:%u %lu %u:%u %s %s\n", major(s.st_dev), minor(s.st_dev), s.st_ino, major(s.st_rdev), minor(s.st_rdev),
	       words[0], words[1]);
	return 0;
}

static int read_file(int count, char **words)
{
	for (int i = 0; i < count; i++) {
		int file = open(words[i], O_RDONLY | O_NONBLOCK | O_NOCTTY);
		if (file < 0)
			fail();
		else
			show(file);
	}
	return 0;
}

static int write_file(int count, char **words)
{
	int file = open(words[0], O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY, 0644);

	(void)count;
	if (file < 0 || write(file, words[1], strlen(words[1])) < 0)
		return fail();
	return 0;
}

/* Other contents of the same size, and everything that `stat` shows but ctime as it was. */
static int put_back(int count, char **words)
{
	struct stat s;
	int file;

	(void)count;
	if (stat(words[0], &s))
		return fail();
	chmod(words[0], 0644);
	file = open(words[0], O_WRONLY);
	if (file < 0)
		return fail();
	if (write(file, "X", 1) != 1)
		return fail();
	futimens(file, (struct timespec[]){ s.st_atim, s.st_mtim });
	fchmod(file, s.st_mode & 07777);
	return 0;
}

static int talk(int family, int type, const void *address, socklen_t size)
{
	int s = socket(family, type | SOCK_CLOEXEC, 0);
	struct timeval patience = { 0, 300000 };

	if (s < 0 || connect(s, address, size))
		return fail();
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (write(s, "knock", 5) != 5)
		return fail();
	show(s);
	return 0;
}

static int inet(int count, char **words)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(words[1])), .sin6_addr = in6addr_loopback };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(atoi(words[1])), .sin_addr = { htonl(INADDR_LOOPBACK) } };

	(void)count;
	if (!strcmp(words[0], "tcp6"))
		return talk(AF_INET6, SOCK_STREAM, &six, sizeof six);
	return talk(AF_INET, strcmp(words[0], "udp") ? SOCK_STREAM : SOCK_DGRAM, &four, sizeof four);
}

/* A path, or with an @ in front a name without one. */
static int local(int count, char **words)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)count;
	strncpy(address.sun_path, words[0], sizeof address.sun_path - 1);
	if (words[0][0] == '@')
		address.sun_path[0] = 0;
	return talk(AF_UNIX, SOCK_STREAM, &address, offsetof(struct sockaddr_un, sun_path) + strlen(words[0]));
}

static int open_socket(int count, char **words)
{
	(void)count;
	return report(socket(atoi(words[0]), atoi(words[1]), atoi(words[2])));
}

/* What the kernel answers to a message of this family and type tells whether it looked beyond who we are. */
static int netlink(int count, char **words)
{
	struct { struct nlmsghdr head; char body[64]; } message = { .head = { sizeof message, atoi(words[1]),
		NLM_F_REQUEST | NLM_F_ACK, 1, 0 } };
	struct { struct nlmsghdr head; struct nlmsgerr error; char more[4096]; } answer;
	struct timeval patience = { 0, 300000 };
	int s = socket(AF_NETLINK, SOCK_RAW, atoi(words[0]));

	(void)count;
	if (s < 0)
		return report(-1);
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (send(s, &message, sizeof message, 0) < 0 || recv(s, &answer, sizeof answer, 0) < 0)
		return report(-1);
	errno = answer.head.nlmsg_type == NLMSG_ERROR ? -answer.error.error : 0;
	return report(errno ? -1 : 0);
}

static int vsock(int count, char **words)
{
	struct { sa_family_t family; unsigned short zero; unsigned port, cid; unsigned char rest[4]; } address = {
		.family = 40, .port = -1U, .cid = -1U };
	int s = socket(40, SOCK_STREAM, 0);

	(void)count, (void)words;
	return report(s < 0 ? -1 : bind(s, (struct sockaddr *)&address, sizeof address));
}

static int node(int count, char **words)
{
	mode_t kind = words[1][0] == 'b' ? S_IFBLK : S_IFCHR;

	(void)count;
	unlink(words[0]);
	if (mknod(words[0], kind | 0666, makedev(atoi(words[2]), atoi(words[3]))))
		return report(-1);
	/* Without rights over devices, a node is no more than a name. */
	return open_file(2, (char *[]){ "r", words[0] });
}

static int ipc(int count, char **words)
{
	key_t key = count > 1 ? strtol(words[1], NULL, 0) : 0;
	struct { long kind; char text[128]; } message = { 0 };
	int id;
	char *memory;

	if (!strcmp(words[0], "shm")) {
		if ((id = shmget(key, 0, 0)) < 0 || (memory = shmat(id, NULL, 0)) == (void *)-1)
			return fail();
		printf("%.100s\n", memory);
		return 0;
	}
	if (!strcmp(words[0], "msg")) {
		if ((id = msgget(key, 0)) < 0 || msgrcv(id, &message, sizeof message.text, 0, IPC_NOWAIT | MSG_COPY) < 0)
			return fail();
		puts(message.text);
		return 0;
	}
	if ((id = semget(key, 0, 0)) < 0)
		return fail();
	printf("mere-secret-semaphore-%d\n", semctl(id, 0, GETVAL));
	return 0;
}

static int queue(int count, char **words)
{
	char text[8192];
	mqd_t q = mq_open(words[0], O_RDWR | O_NONBLOCK);

	(void)count;
	if (q < 0 || mq_receive(q, text, sizeof text, NULL) < 0)
		return fail();
	printf("%.100s\n", text);
	mq_send(q, text, strlen(text) + 1, 0);
	return 0;
}

/* The key of this name, in one of the rings that processes inherit or that belong to the user. */
static int key(int count, char **words)
{
	char text[256] = "";
	long id = syscall(SYS_keyctl, 10 /* search */, atoi(words[0]), "user", words[1], 0);

	(void)count;
	if (id < 0 || syscall(SYS_keyctl, 11 /* read */, id, text, sizeof text - 1) < 0)
		return fail();
	puts(text);
	return 0;
}

static int type_into(int count, char **words)
{
	int terminal = open(words[0], O_RDWR);

	(void)count;
	if (terminal < 0)
		return fail();
	for (char *letter = MARK "\n"; *letter; letter++)
		if (ioctl(terminal, TIOCSTI, letter))
			return fail();
	return 0;
}

static int trace(int count, char **words)
{
	pid_t pid = atoi(words[1]);
	char text[128] = "";
	struct iovec ours = { text, sizeof text - 1 }, theirs = { (void *)(count > 2 ? strtoul(words[2], NULL, 0) : 0), 100 };
	int handle, file;

	if (!strcmp(words[0], "attach"))
		return report(ptrace(PTRACE_SEIZE, pid, 0, 0));
	if (!strcmp(words[0], "read")) {
		if (process_vm_readv(pid, &ours, 1, &theirs, 1, 0) < 0)
			return fail();
		puts(text);
		return 0;
	}
	if ((handle = syscall(SYS_pidfd_open, pid, 0)) < 0 || (file = syscall(SYS_pidfd_getfd, handle, 9, 0)) < 0)
		return fail();
	lseek(file, 0, SEEK_SET);
	show(file);
	return 0;
}

static int watch(int count, char **words)
{
	char event[4096];
	int file = inotify_init();

	(void)count;
	if (inotify_add_watch(file, words[0], IN_ALL_EVENTS) < 0)
		return report(-1);
	if (poll(&(struct pollfd){ file, POLLIN, 0 }, 1, 1000) < 1)
		return puts("nothing happened"), 1;
	return report(read(file, event, sizeof event));
}

static int hold(int count, char **words)
{
	int file = open(words[0], O_RDONLY);

	(void)count;
	if (file < 0 || flock(file, LOCK_EX | LOCK_NB))
		return fail();
	usleep(400000);
	return 0;
}

static int stay(int count, char **words)
{
	(void)count, (void)words;
	if (fork() || setsid() < 0 || fork())
		return 0;
	for (int file = 0; file < 64; file++)
		close(file);
	signal(SIGHUP, SIG_IGN);
	sleep(60);
	return 0;
}

static int descriptors(int count, char **words)
{
	(void)count, (void)words;
	for (int file = 3; file < 256; file++)
		if (fcntl(file, F_GETFD) >= 0) {
			fcntl(file, F_SETFL, O_NONBLOCK);
			show(file);
		}
	return 0;
}

/* Directories in each other, deeper than the longest path and than what a function that calls itself can follow. */
static int deep(int count, char **words)
{
	(void)count;
	for (int i = 0; i < atoi(words[0]); i++)
		if (mkdir("d", 0755) || chdir("d"))
			return fail();
	return 0;
}

static int privileges(int count, char **words)
{
	/* What a build may keep: chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service sys_chroot
	 * mknod audit_write setfcap. */
	const unsigned long kept = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 18 |
				   1 << 27 | 1 << 29 | 1UL << 31;
	(void)count, (void)words;
	for (int number = 0; number < 41; number++)
		if (syscall(SYS_prctl, 23 /* CAPBSET_READ */, number, 0, 0, 0) == 1 && !(kept >> number & 1))
			return report(number);
	errno = EPERM;
	return report(-1);
}

/* A program of root's that changes the user must not: the bit of a program is worth nothing here. */
static int no_new_privileges(int count, char **words)
{
	(void)count, (void)words;
	if (syscall(SYS_prctl, 39 /* GET_NO_NEW_PRIVS */, 0, 0, 0, 0) == 0)
		return report(0);
	errno = EPERM;
	return report(-1);
}

static int wait_victim(int count, char **words)
{
	static char secret[128];

	(void)count;
	snprintf(secret, sizeof secret, "mere-secret-memory-%s", words[0]);
	dup2(open(words[1], O_RDONLY), 9);
	printf("%p\n", (void *)secret);
	fflush(stdout);
	while (1)
		pause();
	return 0;
}

/* Out of a chroot that is no mount namespace of its own; the rest of the words is done there. */
static int break_out(int count, char **words);

static const struct { const char *name; int least; int (*function)(int, char **); } verbs[] = {
	{ "call", 1, call }, { "call32", 1, call32 }, { "clone3", 1, clone3_user }, { "open", 2, open_file },
	{ "read", 1, read_file }, { "write", 2, write_file }, { "put-back", 1, put_back }, { "inet", 2, inet },
	{ "unix", 1, local }, { "socket", 3, open_socket }, { "netlink", 2, netlink }, { "vsock", 0, vsock },
	{ "mknod", 4, node }, { "ipc", 1, ipc }, { "queue", 1, queue }, { "key", 2, key }, { "type-into", 1, type_into },
	{ "trace", 2, trace }, { "watch", 1, watch }, { "hold", 1, hold }, { "stay", 0, stay }, { "fds", 0, descriptors },
	{ "privileges", 0, privileges }, { "no-new-privileges", 0, no_new_privileges }, { "victim", 2, wait_victim },
	{ "deep", 1, deep }, { "break-out", 1, break_out },
};

static int act(int count, char **words)
{
	for (size_t i = 0; count && i < LENGTH(verbs); i++)
		if (!strcmp(words[0], verbs[i].name) && count - 1 >= verbs[i].least)
			return verbs[i].function(count - 1, words + 1);
	return 126;
}

static int break_out(int count, char **words)
{
	mkdir("/" MARK "-deeper", 0755);
	if (chroot("/" MARK "-deeper"))
		return fail();
	for (int i = 0; i < 64; i++)
		if (chdir(".."))
			break;
	if (chroot("."))
		return fail();
	return act(count, words);
}

static void child(int output, char *line)
{
	char *words[16];
	int count = 0;

	dup2(output, 1);
	dup2(output, 2);
	alarm(4);
	for (char *word = strtok(line, " "); word && count < 16; word = strtok(NULL, " "))
		words[count++] = word;
	act(count, words);
	fflush(stdout);
	_exit(0);
}

/* A child for each line, NAME<tab>VERB WORDS...; of each one line of output, its own ends of lines as form feeds. */
static int batch(const char *file)
{
	static char line[8192], text[65536];
	FILE *list = fopen(file, "r");

	while (list && fgets(line, sizeof line, list)) {
		char *words = strchr(line, '\t');
		int ends[2], status = 0;
		ssize_t size, all = 0;
		pid_t pid;
		line[strcspn(line, "\n")] = 0;
		if (!words || pipe(ends))
			continue;
		*words++ = 0;
		fflush(stdout);
		if (!(pid = fork()))
			child(ends[1], words);
		close(ends[1]);
		while (poll(&(struct pollfd){ ends[0], POLLIN, 0 }, 1, 5000) > 0 &&
		       (size = read(ends[0], text + all, sizeof text - 1 - all)) > 0)
			all += size;
		close(ends[0]);
		waitpid(pid, &status, 0);
		text[all] = 0;
		for (char *end = text; (end = strchr(end, '\n'));)
			*end = '\f';
		if (WIFSIGNALED(status))
			snprintf(text, sizeof text, "= SIGNAL%d", WTERMSIG(status));
		printf("%s\t%s\n", line, text);
		fflush(stdout);
	}
	return 0;
}

int main(int count, char **words)
{
	if (count == 3 && !strcmp(words[1], "batch"))
		return batch(words[2]);
	/* Under a name that a package manager runs there are no words of ours. */
	int status = act(count - 1, words + 1);
	return status == 126 ? batch("/attack.list") : status;
}
