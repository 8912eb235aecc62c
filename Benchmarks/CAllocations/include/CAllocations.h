/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/* Blocks of memory that this thread has asked for so far, grown ones included. */
uint64_t tlswatch_allocations(void);

/* Gives back to the system what is free. */
void tlswatch_trim(void);
