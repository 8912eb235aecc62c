#define _GNU_SOURCE
#include "CCapstone.h"

#include <string.h>

const void *tlswatch_find(const void *bytes, size_t count, const void *wanted, size_t length)
{
	return memmem(bytes, count, wanted, length);
}
