#ifndef TLSWATCH_CBPF_H
#define TLSWATCH_CBPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "CEvents.h"
#include "confined.h"
#include "files.h"
#include "mappings.h"
#include "memory.h"
#include "privileges.h"
#include "spawn.h"

/* What libbpf 1.1 lacks: names from the kernel's include/uapi/linux/bpf.h. */
enum {
	TLSWATCH_BPF_TRACE_UPROBE_MULTI = 48,   /* Linux 6.6 */
	TLSWATCH_BPF_TRACE_UPROBE_SESSION = 57, /* Linux 6.13 */
};

/*
 * Creates a uprobe multi link with bpf(BPF_LINK_CREATE). `path` names the file, `offsets` and
 * `cookies` have `count` entries; pid 0 means every process. Returns the link's descriptor or -errno.
 */
int tlswatch_link_uprobe_multi(int program_fd, uint32_t attach_type, const char *path, const uint64_t *offsets,
			       const uint64_t *cookies, uint32_t count, bool return_probe, uint32_t pid);

/* Sends libbpf's own messages of level warning and above to `sink`; NULL silences them. */
typedef void (*tlswatch_log_sink)(const char *message);
void tlswatch_set_log_sink(tlswatch_log_sink sink);

/*
 * Nanoseconds of a clock (clock_gettime(2)), by the system call itself: a library that is preloaded to play with time
 * does not reach it. 0 where there is no such clock.
 */
int64_t tlswatch_clock(int clock);

/* Whether what lies at a path is in sysfs(5): 1 or 0, or -errno. */
int tlswatch_is_sysfs(const char *path);

/* Whether a path is the root of the cgroup v2 hierarchy, or a group of it: 1 or 0, or -errno. */
int tlswatch_is_cgroup2(const char *path);

/* Opens the directory of a group by its inode, given one of the hierarchy; a descriptor or -errno. */
int tlswatch_open_cgroup(int root, uint64_t inode);

/* enum bpf_attach_type, for tlswatch_cgroup_programs. */
enum tlswatch_cgroup_direction { TLSWATCH_CGROUP_INGRESS = 0, TLSWATCH_CGROUP_EGRESS = 1 };

/* How many programs on packets work on a group, its own and its parents'; -errno where the kernel does not tell. */
int tlswatch_cgroup_programs(int descriptor, uint32_t direction);

/* A close-on-exec eventfd, or -1 with errno. */
int tlswatch_eventfd(void);

/*
 * Read leases on files (fcntl(2), F_SETLEASE): who opens such a file for writing waits until the lease is given back, and
 * its holder is told. Take: 0 or -errno, -EAGAIN while somebody has the file open for writing. A lease goes with the
 * last descriptor of its open file.
 */
int tlswatch_lease_take(int descriptor);
/* Whether somebody waits for it. */
bool tlswatch_lease_is_wanted(int descriptor);
/* Readable once somebody waits for a lease; one for the process, made with a handler for SIGIO. -1 with errno. */
int tlswatch_lease_wanted(void);

/* The calling thread's identifier, as /proc/self/task has it. */
int tlswatch_thread(void);

/* The calling thread's name, for ps(1): prctl(2) is variadic, which Swift cannot call. */
void tlswatch_name_thread(const char *name);

/*
 * The knobs of an object that is not loaded yet, as it will be loaded: where its BTF has the variable. NULL with errno where
 * it has none of that size. libbpf's memory, which goes with the object.
 */
struct tlswatch_knobs *tlswatch_knobs_of(struct bpf_object *object);

/*
 * Maps the programs' account of losses, of a loaded object; NULL with errno where it cannot be mapped. Reads it, the
 * count first, without a system call. Unmaps it; it must not outlive the object.
 */
const struct tlswatch_losses *tlswatch_map_losses(struct bpf_object *object);
void tlswatch_read_losses(const struct tlswatch_losses *mapped, struct tlswatch_losses *losses);
void tlswatch_unmap_losses(const struct tlswatch_losses *mapped);

/* BTF kinds that CBPF's users look up; the headers define them both as macro and enumerator. */
enum { TLSWATCH_BTF_STRUCT = 4, TLSWATCH_BTF_TYPEDEF = 8, TLSWATCH_BTF_FUNC = 12 };

/* Whether an enumeration of the kernel has this enumerator. */
bool tlswatch_btf_has_enumerator(const struct btf *btf, const char *enumeration, const char *enumerator);

/* Whether a structure of the kernel has a member of this name. */
bool tlswatch_btf_has_member(const struct btf *btf, const char *structure, const char *member);

/* Attaches a perf-event uprobe. Returns NULL and sets errno on failure. */
struct bpf_link *tlswatch_attach_perf_uprobe(struct bpf_program *program, const char *path, size_t offset,
					     uint64_t cookie, bool return_probe);

#endif
