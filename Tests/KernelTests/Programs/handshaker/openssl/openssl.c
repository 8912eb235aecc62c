// SPDX-License-Identifier: Apache-2.0
#include "openssl.h"
#include "../options.h"
#include "../support.h"
#include "boringssl.h"

static void load(void)
{
	load_libraries(options.libssl, options.libcrypto);
}

static void free_ssl(void *object)
{
	SSL_free(object);
}

static const char *error_text(unsigned long error)
{
	return ERR_reason_error_string(error);
}

static void *get_session(void *object)
{
	return SSL_get1_session(object);
}

static void set_session(void *object, void *session)
{
	SSL_set_session(object, session);
}

static void free_session(void *session)
{
	SSL_SESSION_free(session);
}

static bool clear(void *object)
{
	return SSL_clear(object) == 1;
}

static void up_ref(void *object)
{
	NEED(SSL_up_ref);
	SSL_up_ref(object);
}

static bool can_pause(void)
{
	NEED(ASYNC_pause_job);
	return ASYNC_is_capable();
}

static void allow_pauses(void *object)
{
	SSL_ctrl(object, SSL_CTRL_MODE, SSL_MODE_ASYNC, NULL);
}

static void renegotiate(void *object)
{
	NEED(SSL_verify_client_post_handshake); /* BoringSSL's servers ask for nothing behind the handshake */
	SSL_renegotiate(object);
}

static void update_keys(void *object)
{
	SSL_key_update(object, SSL_KEY_UPDATE_REQUESTED);
}

static void allow_late_proof(void *client)
{
	NEED(SSL_verify_client_post_handshake);
	SSL_set_post_handshake_auth(client, 1);
}

static bool ask_for_proof(void *server)
{
	SSL_set_verify(server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return SSL_verify_client_post_handshake(server) == 1;
}

static void run_quic(void)
{
	if (boringssl_is_loaded())
		run_boringssl_quic();
	else
		run_quic_pairs();
}

const struct stack_ops stack = {
	.load = load,
	.open_contexts = open_contexts,
	.close_contexts = close_contexts,
	.new_object = new_object,
	.free_object = free_ssl,
	.attach = attach,
	.set_witness = set_witness,
	.begin = begin,
	.before_call = before_call,
	.make_call = make_call,
	.after_call = after_call,
	.error_text = error_text,
	.server_name = server_name,
	.note_facts = note_object_facts,
	.take_output = take_output,
	.give_input = give_input,
	.end_input = end_input,
	.get_session = get_session,
	.set_session = set_session,
	.free_session = free_session,
	.clear = clear,
	.up_ref = up_ref,
	.can_pause = can_pause,
	.allow_pauses = allow_pauses,
	.renegotiate = renegotiate,
	.update_keys = update_keys,
	.allow_late_proof = allow_late_proof,
	.ask_for_proof = ask_for_proof,
	.attach_inside = attach_inside,
	.run_quic = run_quic,
};
