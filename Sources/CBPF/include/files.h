#ifndef TLSWATCH_FILES_H
#define TLSWATCH_FILES_H

#include <stdbool.h>
#include <stdint.h>

/* What distinguishes a file from an earlier one with its inode number, which file systems use again at once. */
enum tlswatch_origin {
	TLSWATCH_ORIGIN_UNKNOWN = 0,
	TLSWATCH_ORIGIN_BIRTH = 1,      /* when it was created: nanoseconds since 1970 (statx(2)) */
	TLSWATCH_ORIGIN_GENERATION = 2, /* the inode's generation (FS_IOC_GETVERSION) */
};

enum tlswatch_origin tlswatch_file_origin(int descriptor, int64_t *value);

/* Whether no name leads to the file any more; does not ask the server of a network file system. */
bool tlswatch_is_unlinked(const char *path);

/*
 * Whether the file is on a file system that a server provides, by network or FUSE: such a server may stop answering, and
 * closing a descriptor then waits for it, even at the end of a process that was killed.
 */
bool tlswatch_is_remote(int descriptor);

/*
 * Whether the file system of a file answers, asked by a process of its own: a thread that waits for the server of a FUSE
 * file system, once that has taken the request, cannot be killed, and its whole process not be reaped. Start: a process
 * that opens the file, looks at it, reads its first page and ends; its pid or -errno. It has the capabilities of the
 * calling thread, none of the descriptors, and is killed when that thread ends.
 */
int tlswatch_canary_start(const char *path);
/* Whether it has ended; waits for that, at most so long. Not to be asked again once it has. */
bool tlswatch_canary_ended(int pid, int milliseconds);

#endif
