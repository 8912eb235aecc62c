// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>

#include "../support.h"
#include "library.h"

#define DEFINE(type, name, parameters) type(*name) parameters;
LIBSSL(DEFINE)
LIBCRYPTO(DEFINE)

void load_libraries(const char *libssl, const char *libcrypto)
{
	/* libssl asks for libcrypto by a name that may not be on the path: what is loaded already serves it. */
	void *crypto = dlopen(libcrypto, RTLD_NOW | RTLD_GLOBAL), *ssl;

	if (!crypto)
		die("%s", dlerror());
	ssl = dlopen(libssl, RTLD_NOW | RTLD_GLOBAL);
	if (!ssl)
		die("%s", dlerror());
#define LOAD_SSL(type, name, parameters) name = (type(*) parameters)dlsym(ssl, #name);
#define LOAD_CRYPTO(type, name, parameters) name = (type(*) parameters)dlsym(crypto, #name);
	LIBSSL(LOAD_SSL)
	LIBCRYPTO(LOAD_CRYPTO)
	if (is_boringssl(crypto))
		adapt_boringssl(ssl, crypto);
	/* 1.1.1 has what all the scenarios stand on. */
	NEED(TLS_method);
	NEED(SSL_CTX_set_ciphersuites);
	NEED(OpenSSL_version_num);
}

int is_openssl_3(void)
{
	return OpenSSL_version_num() >= 0x30000000UL;
}
