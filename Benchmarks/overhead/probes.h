/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in the kernel around the measured handshakes: empty programs, and how often programs run. */
#ifndef PROBES_H
#define PROBES_H

#include <stddef.h>
#include <stdint.h>

/*
 * An empty program at each of these offsets in a file, in one link. All functions return 0 or more, or a negative
 * error number; what is attached stays until probes_detach().
 */
int probes_attach_uprobes(const char *path, const uint64_t *offsets, size_t count);

/* An empty program at a tracepoint of the kernel, with its arguments typed (tp_btf), as tlswatch's are. */
int probes_attach_tracepoint(const char *name);

void probes_detach(void);

/* The ids of all loaded programs of kinds that trace, in ascending order; at most `most`. */
int probes_programs(uint32_t *ids, size_t most);

/*
 * Between these two the kernel counts how often programs run, and for how long. Counted are those that are loaded at the beginning and
 * are not among the `known` ones.
 */
int probes_count_begin(const uint32_t *known, size_t count);
void probes_count_end(void);

/* So far, of all that are counted. */
struct probes_sum {
	uint64_t runs;
	uint64_t nanoseconds; /* from entry to exit, with what the kernel's two looks at its clock take */
};

/* Of programs at uprobes and return probes, and of those at tracepoints. */
struct probes_sum probes_uprobes(void);
struct probes_sum probes_tracepoints(void);

#endif
