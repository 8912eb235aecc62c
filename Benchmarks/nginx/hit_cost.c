// SPDX-License-Identifier: Apache-2.0
/*
 * What one hit of a uprobe costs on this machine, now: an empty program on a function of this very process,
 * timed in a tight loop. By instruction at the site, because the kernel emulates some and single-steps the
 * others, and by kind: entry only, and entry with return (a session). Prints one JSON object, in nanoseconds.
 *
 * Raw bpf(2): needs nothing but a compiler, CAP_BPF and CAP_PERFMON, and Linux 6.13.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* linux/bpf.h of the build host may be older than both. */
enum { TRACE_UPROBE_MULTI = 48, TRACE_UPROBE_SESSION = 57 };

struct link_create {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t count, multi_flags, pid, reserved;
};

extern void site_emulated(void);
extern void site_stepped(void);
#if defined(__x86_64__)
__asm__(".text\n"
	".globl site_emulated\nsite_emulated:\n push %rbp\n pop %rbp\n ret\n"
	".balign 16\n"
	".globl site_stepped\nsite_stepped:\n sub $8, %rsp\n add $8, %rsp\n ret\n");
#else
#error "the sites are written for x86-64"
#endif

static int load(uint32_t attach_type)
{
	struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_KPROBE;
	attr.insn_cnt = 2;
	attr.insns = (uintptr_t)code;
	attr.license = (uintptr_t) "Dual BSD/GPL";
	attr.expected_attach_type = attach_type;
	memcpy(attr.prog_name, "bench_empty", 12);
	return syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

/* Where an address of this process stands in its file. */
static uint64_t file_offset(uintptr_t address)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end, offset;
	char line[512];
	uint64_t found = 0;

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 && address >= start && address < end)
			found = address - start + offset;
	if (maps)
		fclose(maps);
	return found;
}

static int attach(uint32_t attach_type, void (*site)(void), int *program)
{
	uint64_t offset = file_offset((uintptr_t)site);
	struct link_create attr;

	*program = load(attach_type);
	if (*program < 0)
		return -1;
	memset(&attr, 0, sizeof(attr));
	attr.prog_fd = *program;
	attr.attach_type = attach_type;
	attr.path = (uintptr_t) "/proc/self/exe";
	attr.offsets = (uintptr_t)&offset;
	attr.count = 1;
	attr.pid = getpid();
	return syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
}

static double now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;

	return difference < 0 ? -1 : difference > 0;
}

/* The median over many short batches: a batch that was interrupted does not count. */
static double per_call(void (*site)(void))
{
	enum { BATCHES = 101, CALLS = 500 };
	double cost[BATCHES];

	for (int batch = 0; batch < BATCHES; batch++) {
		double start = now_ns();

		for (int i = 0; i < CALLS; i++)
			site();
		cost[batch] = (now_ns() - start) / CALLS;
	}
	qsort(cost, BATCHES, sizeof(cost[0]), ascending);
	return cost[BATCHES / 2];
}

static int measure(const char *name, uint32_t attach_type, void (*site)(void), const char *separator)
{
	double bare = per_call(site), probed;
	int program, link = attach(attach_type, site, &program);

	if (link < 0) {
		fprintf(stderr, "hit_cost: cannot attach (%s): needs root and Linux 6.13\n", strerror(errno));
		return 1;
	}
	probed = per_call(site);
	close(link);
	close(program);
	printf("\"%s\": %.1f%s", name, probed - bare, separator);
	return 0;
}

int main(void)
{
	printf("{");
	if (measure("emulated_entry", TRACE_UPROBE_MULTI, site_emulated, ", ") ||
	    measure("emulated_pair", TRACE_UPROBE_SESSION, site_emulated, ", ") ||
	    measure("stepped_entry", TRACE_UPROBE_MULTI, site_stepped, ", ") ||
	    measure("stepped_pair", TRACE_UPROBE_SESSION, site_stepped, ""))
		return 1;
	printf("}\n");
	return 0;
}
