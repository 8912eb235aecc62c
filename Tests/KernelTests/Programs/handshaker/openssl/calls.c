// SPDX-License-Identifier: Apache-2.0
#include "../options.h"
#include "../scenarios.h"
#include "boringssl.h"
#include "openssl.h"

void begin(void *object, bool server)
{
	begin_boringssl(object, server);
	if (server) {
		SSL_set_accept_state(object);
		return;
	}
	SSL_set_connect_state(object);
	if (options.sni)
		SSL_ctrl(object, SSL_CTRL_SET_TLSEXT_HOSTNAME, 0, (void *)options.sni);
	if (scenario->expected_host)
		SSL_set1_host(object, scenario->expected_host);
}

void before_call(void)
{
	ERR_clear_error();
}

_Static_assert((int)EARLY_READ_FAILED == SSL_READ_EARLY_DATA_ERROR, "the driver's number is OpenSSL's");
_Static_assert((int)EARLY_READ_ALL == SSL_READ_EARLY_DATA_FINISH, "the driver's number is OpenSSL's");

int make_call(void *object, enum operation operation)
{
	char bytes[16] = "x";
	size_t done;

	switch (operation) {
	case HANDSHAKE:
		return SSL_do_handshake(object);
	case READ:
		return SSL_read(object, bytes, sizeof(bytes));
	case WRITE:
		return SSL_write(object, bytes, 1);
	case SHUTDOWN:
		return SSL_shutdown(object);
	case READ_EARLY:
		return SSL_read_early_data(object, bytes, sizeof(bytes), &done);
	case WRITE_EARLY:
		return SSL_write_early_data(object, bytes, 1, &done);
	}
	return -1;
}

static enum want want_of(int error)
{
	switch (error) {
	case SSL_ERROR_WANT_READ:
		return WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return WANT_WRITE;
	case SSL_ERROR_WANT_ASYNC:
		return WANT_JOB;
	case SSL_ERROR_WANT_X509_LOOKUP:
	case SSL_ERROR_WANT_PRIVATE_KEY_OPERATION:
	case SSL_ERROR_WANT_CERTIFICATE_VERIFY:
		return WANT_CALLBACK;
	case SSL_ERROR_EARLY_DATA_REJECTED:
		return WANT_ALL_AGAIN;
	default:
		return WANT_NOTHING;
	}
}

void after_call(void *object, struct call *call)
{
	int result = SSL_get_error(object, call->result);
	unsigned long error = ERR_peek_error();
	unsigned long reason = error & (is_openssl_3() ? ERR_REASON_MASK : ERR_REASON_MASK_1_1);

	call->want = want_of(result);
	if (call->want == WANT_ALL_AGAIN)
		go_on_without_early_data(object);
	call->library_error = error;
	call->is_system = result == SSL_ERROR_SYSCALL || (is_openssl_3() && (error & ERR_SYSTEM_FLAG));
	call->is_end_of_input = reason == SSL_R_UNEXPECTED_EOF;
}
