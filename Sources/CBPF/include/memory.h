#ifndef TLSWATCH_MEMORY_H
#define TLSWATCH_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Has malloc(3) map each buffer of `bytes` and more by itself, so that free(3) gives it back at once. */
bool tlswatch_map_buffers_from(size_t bytes);

/* Has malloc(3) give back to the kernel all pages of which nothing is in use. */
void tlswatch_give_back_freed(void);

#endif
