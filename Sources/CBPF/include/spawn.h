#ifndef TLSWATCH_SPAWN_H
#define TLSWATCH_SPAWN_H

#include <stdint.h>

/* Whom a program runs as: its groups are these and no others. */
struct tlswatch_credentials {
	uint32_t user;
	uint32_t group;
	const uint32_t *groups;
	uint32_t group_count;
};

/* What could not be done. */
enum tlswatch_spawn_step {
	TLSWATCH_SPAWN_START = 1,
	TLSWATCH_SPAWN_BECOME = 2,
	TLSWATCH_SPAWN_EXECUTE = 3,
};

struct tlswatch_spawned {
	int pid; /* 0 where it failed */
	enum tlswatch_spawn_step step;
	int error; /* errno */
};

/*
 * Starts a program with this process's standard streams, default dispositions of SIGINT, SIGTERM and SIGPIPE, and no signal
 * blocked; with `credentials` as another user, whose groups it takes before it gives up what setting them needs, and without
 * any capability. Returns once the program runs or could not be run. Any thread.
 */
struct tlswatch_spawned tlswatch_spawn(const char *path, char *const arguments[], char *const environment[],
				       const struct tlswatch_credentials *credentials);

#endif
