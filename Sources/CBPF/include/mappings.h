#ifndef TLSWATCH_MAPPINGS_H
#define TLSWATCH_MAPPINGS_H

#include <stdint.h>
#include <bpf/libbpf.h>

/*
 * Opens a pass of an iterator `program` over one process, or over all where `pid` is 0. Returns a descriptor
 * to read its records from (list_mappings: struct tlswatch_mapping; list_connections: struct
 * tlswatch_connection), or -errno. Before Linux 6.1 a pass is always over all.
 */
int tlswatch_open_pass(struct bpf_program *program, uint32_t pid);

enum tlswatch_change {
	TLSWATCH_CHANGE_MAPPED = 1,   /* `pid` has mapped a file as code */
	TLSWATCH_CHANGE_FORKED = 2,   /* `pid` is a new process of `parent` */
	TLSWATCH_CHANGE_EXITED = 3,   /* `pid` has ended */
	TLSWATCH_CHANGE_EXECUTED = 4, /* `pid` has begun another program: what it mapped is gone */
	TLSWATCH_CHANGE_LOST = 5,     /* changes were lost */
};

/* Which file was mapped, as far as perf tells: good for knowing one again for a while, not its identity. */
struct tlswatch_mapped {
	uint64_t inode;
	uint64_t generation;
	uint32_t major;
	uint32_t minor;
	const char *name; /* as the kernel has it when it is mapped; good during the call */
};

/* `time` is CLOCK_MONOTONIC's; in order for one processor only. */
typedef void (*tlswatch_change_sink)(void *context, uint64_t time, enum tlswatch_change change, uint32_t pid,
				     uint32_t parent, const struct tlswatch_mapped *mapped);

/*
 * Watches what all processes map as code, and which come and go: perf_event_open(2)'s side-band records,
 * which cost the watched next to nothing. NULL with errno set where it is not allowed.
 */
struct tlswatch_watch *tlswatch_watch_open(tlswatch_change_sink sink, void *context);
/* A descriptor that poll(2) finds readable when changes wait. */
int tlswatch_watch_descriptor(const struct tlswatch_watch *watch);
/* Hands what waits to the sink. One thread at a time. */
void tlswatch_watch_drain(struct tlswatch_watch *watch);
void tlswatch_watch_close(struct tlswatch_watch *watch);

#endif
