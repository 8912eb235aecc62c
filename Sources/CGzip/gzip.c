/* SPDX-License-Identifier: Apache-2.0 */
#include "CGzip.h"

#include <limits.h>
#include <zlib.h>

enum { GZIP = 16, WINDOW_BITS = 15, MEMORY_LEVEL = 8, LEVEL = 4 };

size_t tlswatch_gzip_bound(size_t count)
{
	/* deflate's own bound and the longest gzip header and trailer without a name. */
	return compressBound(count) + 18;
}

size_t tlswatch_gzip(const uint8_t *input, size_t count, uint8_t *output, size_t capacity)
{
	z_stream stream = { 0 };
	size_t written = 0;

	if (count > UINT_MAX || capacity > UINT_MAX ||
	    deflateInit2(&stream, LEVEL, Z_DEFLATED, WINDOW_BITS + GZIP, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	stream.next_in = (Bytef *)input;
	stream.avail_in = (uInt)count;
	stream.next_out = output;
	stream.avail_out = (uInt)capacity;
	if (deflate(&stream, Z_FINISH) == Z_STREAM_END)
		written = stream.total_out;
	deflateEnd(&stream);
	return written;
}
