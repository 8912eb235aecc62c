/* SPDX-License-Identifier: Apache-2.0 */
/* What every part of the program uses: ends, clock, waiting. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Ends the program with status 2: it cannot do what it was asked for. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the program with status 3: this version of the library lacks what the scenario needs. */
_Noreturn void unsupported(const char *what);

#define NEED(function)                                                                                                 \
	do {                                                                                                           \
		if (!(function))                                                                                       \
			unsupported(#function);                                                                        \
	} while (0)

/* Ends the program where a system call failed. */
void check(int result, const char *what);

/* CLOCK_MONOTONIC, nanoseconds. */
uint64_t now(void);

/* What the calling thread has computed, nanoseconds; and how long it was ready to and waited for a processor. */
uint64_t thread_cpu(void);
uint64_t thread_run_delay(void);

/* Returns how long it slept. */
uint64_t sleep_ms(unsigned milliseconds);

/* Until the descriptor has what `events` (of poll(2)) asks for; false after five seconds. */
bool wait_for(int fd, short events);
