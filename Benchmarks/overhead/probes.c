// SPDX-License-Identifier: Apache-2.0
#include "probes.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/bpf.h of the build host may be older than both. */
enum { ATTACH_UPROBE_MULTI = 48 };

struct link_create {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t count, multi_flags, pid, reserved;
};

enum { HELD = 128, COUNTED = 256 };

static int held[HELD], held_count;
static int counted[COUNTED], counted_count, statistics = -1;
static uint32_t counted_type[COUNTED];

static int hold(int descriptor)
{
	if (descriptor < 0)
		return -errno;
	if (held_count == HELD) {
		close(descriptor);
		return -ENOSPC;
	}
	held[held_count++] = descriptor;
	return descriptor;
}

void probes_detach(void)
{
	/* Links first: they were made last. */
	while (held_count > 0)
		close(held[--held_count]);
}

static int load_empty(enum bpf_prog_type type, uint32_t attach_type, uint32_t btf_id)
{
	const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = attach_type, .attach_btf_id = btf_id);

	return hold(bpf_prog_load(type, "empty", "Dual BSD/GPL", code, 2, &options));
}

int probes_attach_uprobes(const char *path, const uint64_t *offsets, size_t count)
{
	int program = load_empty(BPF_PROG_TYPE_KPROBE, ATTACH_UPROBE_MULTI, 0);
	struct link_create link;

	if (program < 0)
		return program;
	memset(&link, 0, sizeof(link));
	link.prog_fd = program;
	link.attach_type = ATTACH_UPROBE_MULTI;
	link.path = (uintptr_t)path;
	link.offsets = (uintptr_t)offsets;
	link.count = count;
	return hold(syscall(SYS_bpf, BPF_LINK_CREATE, &link, sizeof(link)));
}

int probes_attach_tracepoint(const char *name)
{
	int type = libbpf_find_vmlinux_btf_id(name, BPF_TRACE_RAW_TP), program;

	if (type < 0)
		return type;
	program = load_empty(BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, type);
	if (program < 0)
		return program;
	return hold(bpf_raw_tracepoint_open(NULL, program));
}

static int traces(uint32_t type)
{
	switch (type) {
	case BPF_PROG_TYPE_KPROBE:
	case BPF_PROG_TYPE_TRACEPOINT:
	case BPF_PROG_TYPE_PERF_EVENT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
	case BPF_PROG_TYPE_TRACING:
		return 1;
	default:
		return 0;
	}
}

static int information(int program, struct bpf_prog_info *info)
{
	uint32_t length = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return bpf_obj_get_info_by_fd(program, info, &length);
}

/* A descriptor of the tracing program that follows `id`, which becomes its own; negative behind the last one. */
static int next_program(uint32_t *id, struct bpf_prog_info *info)
{
	while (bpf_prog_get_next_id(*id, id) == 0) {
		int program = bpf_prog_get_fd_by_id(*id);

		/* It may be gone by now. */
		if (program < 0)
			continue;
		if (information(program, info) == 0 && traces(info->type))
			return program;
		close(program);
	}
	return -ENOENT;
}

int probes_programs(uint32_t *ids, size_t most)
{
	struct bpf_prog_info info;
	uint32_t id = 0;
	size_t count = 0;
	int program;

	while ((program = next_program(&id, &info)) >= 0) {
		close(program);
		if (count == most)
			return -ENOSPC;
		ids[count++] = id;
	}
	return count;
}

static int is_known(uint32_t id, const uint32_t *known, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (known[i] == id)
			return 1;
	return 0;
}

int probes_count_begin(const uint32_t *known, size_t count)
{
	struct bpf_prog_info info;
	uint32_t id = 0;
	int program;

	probes_count_end();
	statistics = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (statistics < 0)
		return -errno;
	while ((program = next_program(&id, &info)) >= 0) {
		if (is_known(id, known, count)) {
			close(program);
			continue;
		}
		if (counted_count == COUNTED) {
			close(program);
			return -ENOSPC;
		}
		counted_type[counted_count] = info.type;
		counted[counted_count++] = program;
	}
	return 0;
}

void probes_count_end(void)
{
	while (counted_count > 0)
		close(counted[--counted_count]);
	if (statistics >= 0)
		close(statistics);
	statistics = -1;
}

static struct probes_sum sum_of(int of_uprobes)
{
	struct bpf_prog_info info;
	struct probes_sum sum = { 0, 0 };

	for (int i = 0; i < counted_count; i++)
		if ((counted_type[i] == BPF_PROG_TYPE_KPROBE) == of_uprobes && information(counted[i], &info) == 0) {
			sum.runs += info.run_cnt;
			sum.nanoseconds += info.run_time_ns;
		}
	return sum;
}

struct probes_sum probes_uprobes(void)
{
	return sum_of(1);
}

struct probes_sum probes_tracepoints(void)
{
	return sum_of(0);
}
