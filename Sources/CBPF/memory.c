#include "memory.h"

#include <limits.h>
#include <malloc.h>

bool tlswatch_map_buffers_from(size_t bytes)
{
	return bytes <= INT_MAX && mallopt(M_MMAP_THRESHOLD, (int)bytes) == 1;
}

void tlswatch_give_back_freed(void)
{
	malloc_trim(0);
}
