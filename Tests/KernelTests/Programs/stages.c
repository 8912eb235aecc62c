// SPDX-License-Identifier: Apache-2.0
/*
 * A TLS library in small whose calls stand still where it is told to: a call with steps in it, another one inside it, more
 * steps than a call has room for. The sites are marked.
 *
 * Prints a line at each stage and waits for SIGUSR1 there.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct object {
	unsigned unused[4];
	unsigned state;
	unsigned role;
};

__attribute__((noinline)) static void begin(struct object *object)
{
	asm volatile(".globl stages_begin\nstages_begin: nop" : : "b"(object) : "memory");
}

__attribute__((noinline)) static void step(struct object *object)
{
	asm volatile(".globl stages_step\nstages_step: nop" : : "b"(object) : "memory");
}

__attribute__((noinline)) static void end(struct object *object, int result)
{
	asm volatile(".globl stages_end\nstages_end: nop" : : "b"(object), "a"(result) : "memory");
}

static void stage(const char *name)
{
	sigset_t set;
	int signal;

	puts(name);
	fflush(stdout);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigwait(&set, &signal);
}

int main(void)
{
	struct object *outer = calloc(2, sizeof(*outer));
	struct object *inner = outer + 1;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	outer->state = inner->state = 1;
	outer->role = inner->role = 's';
	stage("started");
	begin(outer);
	for (int i = 0; i < 3; i++)
		step(outer);
	stage("three");
	begin(inner);
	step(inner);
	stage("nested");
	end(inner, 1);
	for (int i = 0; i < 10; i++)
		step(outer);
	stage("full");
	step(outer);
	stage("overfull");
	end(outer, 1);
	stage("ended");
	return 0;
}
