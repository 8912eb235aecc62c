// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

_Noreturn void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("handshaker: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	_exit(2);
}

_Noreturn void unsupported(const char *what)
{
	fprintf(stderr, "unsupported: %s\n", what);
	_exit(3);
}

void check(int result, const char *what)
{
	if (result < 0)
		die("%s: %s", what, strerror(errno));
}

uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t thread_cpu(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* By the kernel's own account; it keeps none without CONFIG_SCHED_INFO. */
uint64_t thread_run_delay(void)
{
	unsigned long long computed, waited = 0;
	FILE *file = fopen("/proc/thread-self/schedstat", "r");

	if (!file)
		return 0;
	if (fscanf(file, "%llu %llu", &computed, &waited) != 2)
		waited = 0;
	fclose(file);
	return waited;
}

uint64_t sleep_ms(unsigned milliseconds)
{
	struct timespec time = { milliseconds / 1000, (long)(milliseconds % 1000) * 1000000 };
	uint64_t begin = now();

	while (nanosleep(&time, &time) < 0 && errno == EINTR)
		;
	return now() - begin;
}

bool wait_for(int fd, short events)
{
	struct pollfd one = { fd, events, 0 };
	int result;

	do {
		result = poll(&one, 1, 5000);
	} while (result < 0 && errno == EINTR);
	return result > 0;
}
