/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "CPassword.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

/* Looks at every byte, however early they differ. */
static bool same(const char *left, const char *right, size_t count)
{
	unsigned char difference = 0;

	for (size_t i = 0; i < count; i++)
		difference |= (unsigned char)(left[i] ^ right[i]);
	return difference == 0;
}

bool tlswatch_password_matches(const char *password, const char *hash)
{
	/* 32 KiB: too much for a small stack. */
	struct crypt_data *data = calloc(1, sizeof(*data));
	const char *result;
	bool matches = false;

	if (data == NULL)
		return false;
	result = crypt_rn(password, hash, data, sizeof(*data));
	if (result != NULL && strlen(result) == strlen(hash))
		matches = same(result, hash, strlen(hash));
	explicit_bzero(data, sizeof(*data));
	free(data);
	return matches;
}
