// SPDX-License-Identifier: Apache-2.0
/*
 * A TLS library in small, with what OpenSSL has not: states beyond 31, a role that only the object tells, texts inside the
 * object, results at the exit, and calls that belong to a goroutine instead of a thread.
 *
 * Usage: toy COUNT; prints a line for each handshake: its object, whether it completed, and its threads.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>

enum { IDLE = 100, WAITS = 110, FAILED = 120, DONE = 200 };

struct toy {
	unsigned unused[4];
	unsigned state;
	unsigned role; /* 'c' or 's' */
	unsigned version;
	unsigned cipher;
	char name[32];         /* NUL-terminated, inside the object */
	unsigned char alpn[8]; /* a byte of length, then the text */
	long goroutine;
};

/* One call: -1 to be called again, 1 done, 0 failed. The sites are marked; Go's g would be in R14. */
__attribute__((noinline)) int toy_handshake(struct toy *toy, int step)
{
	register long goroutine asm("r14") = toy->goroutine;
	int result;

	asm volatile(".globl toy_begin\ntoy_begin: nop" : : "b"(toy), "r"(goroutine) : "memory");
	if (step == 0) {
		toy->state = WAITS;
		result = -1;
	} else if (strcmp(toy->name, "refused.example") == 0) {
		toy->state = FAILED;
		result = 0;
	} else {
		toy->state = DONE;
		toy->version = 0x0304;
		toy->cipher = 0x1301;
		result = 1;
	}
	asm volatile(".globl toy_end\ntoy_end: nop" : : "b"(toy), "a"(result), "r"(goroutine) : "memory");
	return result;
}

struct job {
	struct toy *toy;
	int step;
	long tid;
};

static void *work(void *argument)
{
	struct job *job = argument;

	job->tid = syscall(SYS_gettid);
	toy_handshake(job->toy, job->step);
	return NULL;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 1;

	for (int i = 0; i < count; i++) {
		struct toy *toy = calloc(1, sizeof(*toy));
		long tids[2];

		toy->state = IDLE;
		toy->role = i % 2 ? 's' : 'c';
		strcpy(toy->name, i % 5 == 4 ? "refused.example" : "toy.example");
		memcpy(toy->alpn, "\003toy", 4);
		toy->goroutine = (long)toy + 8;
		/* Each call on a thread of its own. */
		for (int step = 0; step < 2; step++) {
			struct job job = { .toy = toy, .step = step };
			pthread_t thread;

			if (pthread_create(&thread, NULL, work, &job))
				return 1;
			pthread_join(thread, NULL);
			tids[step] = job.tid;
		}
		printf("%lu %c %s %ld %ld\n", (unsigned long)toy, toy->role,
		       toy->state == DONE ? "completed" : "failed", tids[0], tids[1]);
	}
	return 0;
}
