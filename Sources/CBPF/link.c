#define _GNU_SOURCE
#include "CBPF.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* union bpf_attr's link_create as far as uprobe_multi uses it (kernel 89ae89f53d20, 6.6). */
struct uprobe_multi_attr {
	uint32_t prog_fd;
	uint32_t target_fd;
	uint32_t attach_type;
	uint32_t flags;
	uint64_t path;
	uint64_t offsets;
	uint64_t ref_ctr_offsets;
	uint64_t cookies;
	uint32_t count;
	uint32_t multi_flags;
	uint32_t pid;
	uint32_t padding;
};

#define UPROBE_MULTI_RETURN 1U

int tlswatch_link_uprobe_multi(int program_fd, uint32_t attach_type, const char *path, const uint64_t *offsets,
			       const uint64_t *cookies, uint32_t count, bool return_probe, uint32_t pid)
{
	struct uprobe_multi_attr attr;
	long fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_fd = (uint32_t)program_fd;
	attr.attach_type = attach_type;
	attr.path = (uint64_t)(uintptr_t)path;
	attr.offsets = (uint64_t)(uintptr_t)offsets;
	attr.cookies = (uint64_t)(uintptr_t)cookies;
	attr.count = count;
	attr.multi_flags = return_probe ? UPROBE_MULTI_RETURN : 0;
	attr.pid = pid;
	/* The kernel accepts a shorter attr than its own; the tail counts as zero. Links are close-on-exec. */
	fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd < 0 ? -errno : (int)fd;
}

static tlswatch_log_sink current_sink;

static int print(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char line[1024];
	int length;

	if (!current_sink || level > LIBBPF_WARN)
		return 0;
	length = vsnprintf(line, sizeof(line), format, arguments);
	if (length > 0)
		current_sink(line);
	return length;
}

void tlswatch_set_log_sink(tlswatch_log_sink sink)
{
	current_sink = sink;
	libbpf_set_print(print);
}

struct bpf_link *tlswatch_attach_perf_uprobe(struct bpf_program *program, const char *path, size_t offset,
					     uint64_t cookie, bool return_probe)
{
	LIBBPF_OPTS(bpf_uprobe_opts, options, .bpf_cookie = cookie, .retprobe = return_probe);

	return bpf_program__attach_uprobe_opts(program, -1, path, offset, &options);
}

int64_t tlswatch_clock(int clock)
{
	struct timespec time = { 0 };

	syscall(SYS_clock_gettime, clock, &time);
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int tlswatch_is_sysfs(const char *path)
{
	struct statfs status;

	if (statfs(path, &status))
		return -errno;
	return status.f_type == SYSFS_MAGIC;
}

int tlswatch_is_cgroup2(const char *path)
{
	struct statfs status;

	if (statfs(path, &status))
		return -errno;
	return status.f_type == CGROUP2_SUPER_MAGIC;
}

/* The kernel's own file handle of a node of kernfs (include/linux/exportfs.h, FILEID_KERNFS). */
#define KERNFS_HANDLE 0xfe

int tlswatch_open_cgroup(int root, uint64_t inode)
{
	union {
		struct file_handle handle;
		char space[sizeof(struct file_handle) + sizeof(inode)];
	} name;
	int descriptor;

	memset(&name, 0, sizeof(name));
	name.handle.handle_bytes = sizeof(inode);
	name.handle.handle_type = KERNFS_HANDLE;
	memcpy(name.handle.f_handle, &inode, sizeof(inode));
	descriptor = open_by_handle_at(root, &name.handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return descriptor < 0 ? -errno : descriptor;
}

int tlswatch_cgroup_programs(int descriptor, uint32_t direction)
{
	uint32_t count = 0;
	int result =
		bpf_prog_query(descriptor, (enum bpf_attach_type)direction, BPF_F_QUERY_EFFECTIVE, NULL, NULL, &count);

	return result ? -errno : (int)count;
}

int tlswatch_eventfd(void)
{
	return eventfd(0, EFD_CLOEXEC);
}

int tlswatch_thread(void)
{
	return (int)syscall(SYS_gettid);
}

void tlswatch_name_thread(const char *name)
{
	prctl(PR_SET_NAME, name);
}

struct tlswatch_knobs *tlswatch_knobs_of(struct bpf_object *object)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, ".rodata");
	const struct btf *btf = bpf_object__btf(object);
	int id = btf ? btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC) : -ENOENT;
	const struct btf_type *section = id > 0 ? btf__type_by_id(btf, (__u32)id) : NULL;
	const struct btf_var_secinfo *variable;
	size_t size = 0;
	char *initial = map ? (char *)bpf_map__initial_value(map, &size) : NULL;

	for (int i = 0; initial && section && i < btf_vlen(section); i++) {
		variable = &btf_var_secinfos(section)[i];
		if (strcmp(btf__name_by_offset(btf, btf__type_by_id(btf, variable->type)->name_off), "knobs") == 0 &&
		    variable->size == sizeof(struct tlswatch_knobs) && variable->offset + variable->size <= size)
			return (struct tlswatch_knobs *)(initial + variable->offset);
	}
	errno = ENOENT;
	return NULL;
}

const struct tlswatch_losses *tlswatch_map_losses(struct bpf_object *object)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, ".bss");
	void *mapped;

	if (!map || bpf_map__value_size(map) < sizeof(struct tlswatch_losses))
		return NULL;
	/*
	 * By the map's own descriptor: the memory that libbpf tells as the initial value stays its own unless a
	 * skeleton maps it, and the programs never write to that.
	 */
	mapped = mmap(NULL, sizeof(struct tlswatch_losses), PROT_READ, MAP_SHARED, bpf_map__fd(map), 0);
	return mapped == MAP_FAILED ? NULL : mapped;
}

void tlswatch_unmap_losses(const struct tlswatch_losses *mapped)
{
	munmap((void *)mapped, sizeof(*mapped));
}

void tlswatch_read_losses(const struct tlswatch_losses *mapped, struct tlswatch_losses *losses)
{
	losses->count = __atomic_load_n(&mapped->count, __ATOMIC_ACQUIRE);
	losses->last_ns = __atomic_load_n(&mapped->last_ns, __ATOMIC_RELAXED);
}

bool tlswatch_btf_has_enumerator(const struct btf *btf, const char *enumeration, const char *enumerator)
{
	int id = btf__find_by_name_kind(btf, enumeration, BTF_KIND_ENUM);
	const struct btf_type *type = id > 0 ? btf__type_by_id(btf, (__u32)id) : NULL;
	const char *name;

	for (int i = 0; type && i < btf_vlen(type); i++) {
		name = btf__name_by_offset(btf, btf_enum(type)[i].name_off);
		if (name && strcmp(name, enumerator) == 0)
			return true;
	}
	return false;
}
bool tlswatch_btf_has_member(const struct btf *btf, const char *structure, const char *member)
{
	int id = btf__find_by_name_kind(btf, structure, BTF_KIND_STRUCT);
	const struct btf_type *type = id > 0 ? btf__type_by_id(btf, (__u32)id) : NULL;
	const char *name;

	for (int i = 0; type && i < btf_vlen(type); i++) {
		name = btf__name_by_offset(btf, btf_members(type)[i].name_off);
		if (name && strcmp(name, member) == 0)
			return true;
	}
	return false;
}
