#include "CBPF.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int tlswatch_open_pass(struct bpf_program *program, uint32_t pid)
{
	union bpf_iter_link_info info;
	LIBBPF_OPTS(bpf_iter_attach_opts, options);
	struct bpf_link *link;
	int descriptor;

	memset(&info, 0, sizeof(info));
	info.task.pid = pid;
	if (pid) {
		options.link_info = &info;
		options.link_info_len = sizeof(info);
	}
	link = bpf_program__attach_iter(program, &options);
	if (!link && pid) {
		/* The parameter is of 6.1 (kernel f0d74c4da1f0). */
		options.link_info = NULL;
		options.link_info_len = 0;
		link = bpf_program__attach_iter(program, &options);
	}
	if (!link)
		return -errno;
	descriptor = bpf_iter_create(bpf_link__fd(link));
	if (descriptor < 0)
		descriptor = -errno;
	/* The pass holds the program by itself. */
	bpf_link__destroy(link);
	return descriptor;
}

struct tlswatch_watch {
	struct perf_buffer *buffer;
	tlswatch_change_sink sink;
	void *context;
	int map;
};

/* Pages a processor: some hundred programs that start between two looks. */
#define WATCH_PAGES 16

struct mmap2_record {
	struct perf_event_header header;
	uint32_t pid, tid;
	uint64_t address, length, page_offset;
	uint32_t major, minor;
	uint64_t inode, generation;
	uint32_t protection, flags;
	char name[]; /* NUL-terminated */
};

struct task_record {
	struct perf_event_header header;
	uint32_t pid, parent_pid, tid, parent_tid;
};

static enum bpf_perf_event_ret on_record(void *context, int processor, struct perf_event_header *header)
{
	struct tlswatch_watch *watch = context;
	uint64_t time;

	(void)processor;
	/* What every record ends with, as asked for by sample_id_all. */
	memcpy(&time, (const char *)header + header->size - sizeof(time), sizeof(time));
	if (header->type == PERF_RECORD_MMAP2 && header->size >= sizeof(struct mmap2_record)) {
		const struct mmap2_record *record = (const void *)header;
		struct tlswatch_mapped mapped = { record->inode, record->generation, record->major, record->minor,
						  record->name };

		watch->sink(watch->context, time, TLSWATCH_CHANGE_MAPPED, record->pid, 0, &mapped);
	} else if (header->type == PERF_RECORD_COMM) {
		const uint32_t *pid = (const void *)(header + 1);

		if (header->misc & PERF_RECORD_MISC_COMM_EXEC)
			watch->sink(watch->context, time, TLSWATCH_CHANGE_EXECUTED, *pid, 0, NULL);
	} else if (header->type == PERF_RECORD_LOST) {
		watch->sink(watch->context, time, TLSWATCH_CHANGE_LOST, 0, 0, NULL);
	} else if (header->size >= sizeof(struct task_record)) {
		const struct task_record *record = (const void *)header;

		if (header->type == PERF_RECORD_FORK && record->pid != record->parent_pid)
			watch->sink(watch->context, time, TLSWATCH_CHANGE_FORKED, record->pid, record->parent_pid,
				    NULL);
		/* A process is its first thread here: others outlive it only in odd programs, which a sweep finds. */
		if (header->type == PERF_RECORD_EXIT && record->pid == record->tid)
			watch->sink(watch->context, time, TLSWATCH_CHANGE_EXITED, record->pid, 0, NULL);
	}
	return LIBBPF_PERF_EVENT_CONT;
}

struct tlswatch_watch *tlswatch_watch_open(tlswatch_change_sink sink, void *context)
{
	struct tlswatch_watch *watch = calloc(1, sizeof(*watch));
	struct perf_event_attr attributes;
	int error;

	if (!watch)
		return NULL;
	watch->sink = sink;
	watch->context = context;
	/* libbpf wants a map to put the events into; nothing else uses it. */
	watch->map = bpf_map_create(BPF_MAP_TYPE_PERF_EVENT_ARRAY, "tlswatch_watch", 4, 4,
				    (uint32_t)libbpf_num_possible_cpus(), NULL);
	if (watch->map < 0) {
		error = errno;
		free(watch);
		errno = error;
		return NULL;
	}
	memset(&attributes, 0, sizeof(attributes));
	attributes.size = sizeof(attributes);
	attributes.type = PERF_TYPE_SOFTWARE;
	attributes.config = PERF_COUNT_SW_DUMMY;
	/* Code only: mmap_data would tell of all the rest. */
	attributes.mmap = 1;
	attributes.mmap2 = 1;
	attributes.comm = 1;
	attributes.comm_exec = 1;
	attributes.task = 1;
	/* Processors are read one after the other; the time brings their records into order. */
	attributes.sample_id_all = 1;
	attributes.sample_type = PERF_SAMPLE_TIME;
	attributes.use_clockid = 1;
	attributes.clockid = CLOCK_MONOTONIC;
	attributes.watermark = 1;
	attributes.wakeup_watermark = 1;
	watch->buffer = perf_buffer__new_raw(watch->map, WATCH_PAGES, &attributes, on_record, watch, NULL);
	if (!watch->buffer) {
		error = errno;
		close(watch->map);
		free(watch);
		errno = error;
		return NULL;
	}
	return watch;
}

int tlswatch_watch_descriptor(const struct tlswatch_watch *watch)
{
	return perf_buffer__epoll_fd(watch->buffer);
}

void tlswatch_watch_drain(struct tlswatch_watch *watch)
{
	/* Unlike poll with no time-out, this also reads what stays below a processor's watermark. */
	perf_buffer__consume(watch->buffer);
}

void tlswatch_watch_close(struct tlswatch_watch *watch)
{
	perf_buffer__free(watch->buffer);
	close(watch->map);
	free(watch);
}
