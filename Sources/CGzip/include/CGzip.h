/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CGZIP_H
#define CGZIP_H

#include <stddef.h>
#include <stdint.h>

/* The most bytes that `count` of them can become. */
size_t tlswatch_gzip_bound(size_t count);

/* Compresses into `output`; returns the bytes written, 0 where it failed. RFC 1952. */
size_t tlswatch_gzip(const uint8_t *input, size_t count, uint8_t *output, size_t capacity);

#endif
