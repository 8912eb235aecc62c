/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CPASSWORD_H
#define CPASSWORD_H

#include <stdbool.h>

/*
 * Whether `password` gives `hash`, which names its method and cost itself (crypt(5)).
 * Takes as long as the cost says. False too where the hash is none or there is no memory.
 */
bool tlswatch_password_matches(const char *password, const char *hash);

#endif
