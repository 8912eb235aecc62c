#define _GNU_SOURCE
#include "CBPF.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

/* How the child ends: the probe was there and it lived, or it was not there, or it was not confined. */
enum { LIVED = 0, NO_PROBE = 3, NO_FILTER = 4 };
#define TIME_LIMIT_MS 5000

/* The function under the probe. A return probe puts its own address where the return address stood. */
__attribute__((noinline)) static void *probed(int trial)
{
	if (trial == TLSWATCH_TRIAL_FORBIDDEN)
		syscall(SYS_getppid);
	return __builtin_return_address(0);
}

/* One place to return to, so that two returns can be compared. */
__attribute__((noinline)) static void *call(int trial)
{
	void *volatile place = probed(trial);

	return place;
}

static int confine(void)
{
#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read),
		ALLOW(SYS_write),
		ALLOW(SYS_exit),
		ALLOW(SYS_exit_group),
		ALLOW(SYS_rt_sigreturn),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* After fork, in a process that had threads: system calls only. */
__attribute__((noreturn)) static void child(int gate, int trial)
{
	void *before = call(0);
	void *after;
	char byte;

	if (read(gate, &byte, 1) != 1 || confine())
		_exit(NO_FILTER);
	after = call(trial);
	_exit(trial == TLSWATCH_TRIAL_FORBIDDEN || after != before ? LIVED : NO_PROBE);
}

/* Of a loaded address of this program, the place in its file. */
struct place {
	uintptr_t address;
	uint64_t offset;
};

static int find(struct dl_phdr_info *info, size_t size, void *context)
{
	struct place *place = context;

	(void)size;
	for (int index = 0; index < info->dlpi_phnum; index++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[index];
		uintptr_t start = info->dlpi_addr + segment->p_vaddr;

		if (segment->p_type != PT_LOAD || place->address < start || place->address >= start + segment->p_memsz)
			continue;
		place->offset = segment->p_offset + (place->address - start);
		/* The program itself is told first. */
		return 1;
	}
	return 0;
}

static int attach_multi(uint64_t offset, pid_t pid)
{
	static const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = TLSWATCH_BPF_TRACE_UPROBE_MULTI);
	uint64_t cookie = 0;
	int program, link;

	program = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "tlswatch_trial", "Dual BSD/GPL", nothing, 2, &options);
	if (program < 0)
		return program;
	link = tlswatch_link_uprobe_multi(program, TLSWATCH_BPF_TRACE_UPROBE_MULTI, "/proc/self/exe", &offset, &cookie,
					  1, true, (uint32_t)pid);
	close(program);
	return link;
}

static int attach_perf(uint64_t offset, pid_t pid)
{
	struct perf_event_attr attributes;
	int type, count;
	FILE *file = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	long event;

	if (!file)
		return -errno;
	count = fscanf(file, "%d", &type);
	fclose(file);
	if (count != 1)
		return -EINVAL;
	memset(&attributes, 0, sizeof(attributes));
	attributes.size = sizeof(attributes);
	attributes.type = (uint32_t)type;
	/* format/retprobe. */
	attributes.config = 1;
	attributes.uprobe_path = (uintptr_t) "/proc/self/exe";
	attributes.probe_offset = offset;
	event = syscall(SYS_perf_event_open, &attributes, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return event < 0 ? -errno : (int)event;
}

/* Ends with the child, or ends it. */
static int outcome(pid_t pid, int descriptor)
{
	struct pollfd ended = { .fd = descriptor, .events = POLLIN };
	int status;

	if (poll(&ended, 1, TIME_LIMIT_MS) != 1)
		kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? 0 : -EINTR;
	switch (WEXITSTATUS(status)) {
	case LIVED:
		return 1;
	case NO_PROBE:
		return -ENODATA;
	default:
		return -EOPNOTSUPP;
	}
}

int tlswatch_try_return_probe(enum tlswatch_trial trial)
{
	struct place place = { (uintptr_t)probed, 0 };
	int gate[2], link = -1, descriptor, result;
	pid_t pid;

	if (!dl_iterate_phdr(find, &place))
		return -ENOENT;
	if (pipe2(gate, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid == 0) {
		close(gate[1]);
		child(gate[0], trial);
	}
	close(gate[0]);
	if (pid < 0) {
		result = -errno;
		close(gate[1]);
		return result;
	}
	descriptor = (int)syscall(SYS_pidfd_open, pid, 0);
	if (trial == TLSWATCH_TRIAL_MULTI)
		link = attach_multi(place.offset, pid);
	else if (trial == TLSWATCH_TRIAL_PERF)
		link = attach_perf(place.offset, pid);
	if (trial == TLSWATCH_TRIAL_FORBIDDEN || link >= 0)
		result = write(gate[1], "", 1) == 1 ? 0 : -errno;
	else
		result = link;
	/* A child that was not let go reads the end of the pipe. */
	close(gate[1]);
	if (result)
		waitpid(pid, NULL, 0);
	else
		result = outcome(pid, descriptor);
	if (descriptor >= 0)
		close(descriptor);
	if (link >= 0)
		close(link);
	return result;
}
