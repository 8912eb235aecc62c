/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libssl and libcrypto, loaded by path and declared here, so that one binary runs on every OpenSSL
 * from 1.1.1. A function that a version lacks is NULL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_method_st SSL_METHOD;
typedef struct ssl_session_st SSL_SESSION;
typedef struct ssl_cipher_st SSL_CIPHER;
typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;
typedef struct x509_st X509;

typedef int alpn_select_callback(SSL *, const unsigned char **, unsigned char *, const unsigned char *, unsigned int,
				 void *);
typedef void info_callback(const SSL *, int, int);
typedef void message_callback(int, int, int, const void *, size_t, SSL *, void *);
typedef int certificate_callback(SSL *, void *);
typedef int client_hello_callback(SSL *, int *, void *);

/* clang-format off */
#define LIBSSL(X)                                                                                      \
	X(const SSL_METHOD *, TLS_method, (void))                                                      \
	X(const SSL_METHOD *, TLS_client_method, (void))                                               \
	X(const SSL_METHOD *, TLS_server_method, (void))                                               \
	X(const SSL_METHOD *, DTLS_method, (void))                                                     \
	X(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *))                                                \
	X(void, SSL_CTX_free, (SSL_CTX *))                                                             \
	X(long, SSL_CTX_ctrl, (SSL_CTX *, int, long, void *))                                          \
	X(int, SSL_CTX_use_certificate_chain_file, (SSL_CTX *, const char *))                          \
	X(int, SSL_CTX_use_PrivateKey_file, (SSL_CTX *, const char *, int))                            \
	X(int, SSL_CTX_load_verify_locations, (SSL_CTX *, const char *, const char *))                 \
	X(void, SSL_CTX_set_verify, (SSL_CTX *, int, void *))                                          \
	X(int, SSL_CTX_set_cipher_list, (SSL_CTX *, const char *))                                     \
	X(int, SSL_CTX_set_ciphersuites, (SSL_CTX *, const char *))                                    \
	X(int, SSL_CTX_set_alpn_protos, (SSL_CTX *, const unsigned char *, unsigned int))              \
	X(void, SSL_CTX_set_alpn_select_cb, (SSL_CTX *, alpn_select_callback *, void *))               \
	X(void, SSL_CTX_set_info_callback, (SSL_CTX *, info_callback *))                               \
	X(void, SSL_CTX_set_msg_callback, (SSL_CTX *, message_callback *))                             \
	X(uint64_t, SSL_CTX_set_options, (SSL_CTX *, uint64_t))                                        \
	X(void, SSL_CTX_set_cert_cb, (SSL_CTX *, certificate_callback *, void *))                      \
	X(void, SSL_CTX_set_client_hello_cb, (SSL_CTX *, client_hello_callback *, void *))             \
	X(int, SSL_CTX_set_session_id_context, (SSL_CTX *, const unsigned char *, unsigned int))       \
	X(int, SSL_CTX_set_max_early_data, (SSL_CTX *, uint32_t))                                      \
	X(int, SSL_select_next_proto,                                                                  \
	  (unsigned char **, unsigned char *, const unsigned char *, unsigned int,                     \
	   const unsigned char *, unsigned int))                                                       \
	X(SSL *, SSL_new, (SSL_CTX *))                                                                 \
	X(void, SSL_free, (SSL *))                                                                     \
	X(int, SSL_up_ref, (SSL *))                                                                    \
	X(int, SSL_clear, (SSL *))                                                                     \
	X(long, SSL_ctrl, (SSL *, int, long, void *))                                                  \
	X(int, SSL_set_fd, (SSL *, int))                                                               \
	X(void, SSL_set_bio, (SSL *, BIO *, BIO *))                                                    \
	X(void, SSL_set_connect_state, (SSL *))                                                        \
	X(void, SSL_set_accept_state, (SSL *))                                                         \
	X(int, SSL_set1_host, (SSL *, const char *))                                                   \
	X(int, SSL_do_handshake, (SSL *))                                                              \
	X(int, SSL_read, (SSL *, void *, int))                                                         \
	X(int, SSL_write, (SSL *, const void *, int))                                                  \
	X(int, SSL_shutdown, (SSL *))                                                                  \
	X(int, SSL_get_error, (const SSL *, int))                                                      \
	X(int, SSL_is_init_finished, (const SSL *))                                                    \
	X(const char *, SSL_get_version, (const SSL *))                                                \
	X(const SSL_CIPHER *, SSL_get_current_cipher, (const SSL *))                                   \
	X(const char *, SSL_CIPHER_standard_name, (const SSL_CIPHER *))                                \
	X(void, SSL_get0_alpn_selected, (const SSL *, const unsigned char **, unsigned int *))         \
	X(const char *, SSL_get_servername, (const SSL *, int))                                        \
	X(int, SSL_session_reused, (const SSL *))                                                      \
	X(SSL_SESSION *, SSL_get1_session, (SSL *))                                                    \
	X(int, SSL_set_session, (SSL *, SSL_SESSION *))                                                \
	X(void, SSL_SESSION_free, (SSL_SESSION *))                                                     \
	X(int, SSL_set_ex_data, (SSL *, int, void *))                                                  \
	X(int, SSL_get_ex_data_X509_STORE_CTX_idx, (void))                                            \
	X(void *, SSL_get_ex_data, (const SSL *, int))                                                 \
	X(int, SSL_write_early_data, (SSL *, const void *, size_t, size_t *))                          \
	X(int, SSL_read_early_data, (SSL *, void *, size_t, size_t *))                                 \
	X(int, SSL_get_early_data_status, (const SSL *))                                               \
	X(int, SSL_renegotiate, (SSL *))                                                               \
	X(int, SSL_key_update, (SSL *, int))                                                           \
	X(int, SSL_verify_client_post_handshake, (SSL *))                                              \
	X(void, SSL_set_post_handshake_auth, (SSL *, int))                                             \
	X(void, SSL_set_verify, (SSL *, int, void *))                                                  \
	X(const BIO_METHOD *, BIO_f_ssl, (void))                                                       \
	X(const char *, SSL_get0_group_name, (SSL *))                                                  \
	X(const SSL_METHOD *, OSSL_QUIC_client_method, (void))                                         \
	X(const SSL_METHOD *, OSSL_QUIC_server_method, (void))                                         \
	X(SSL *, SSL_new_listener, (SSL_CTX *, uint64_t))                                              \
	X(SSL *, SSL_accept_connection, (SSL *, uint64_t))                                             \
	X(int, SSL_listen, (SSL *))                                                                    \
	X(int, SSL_set1_initial_peer_addr, (SSL *, const void *))

#define LIBCRYPTO(X)                                                                                   \
	X(unsigned long, OpenSSL_version_num, (void))                                                  \
	X(const char *, OpenSSL_version, (int))                                                        \
	X(BIO *, BIO_new, (const BIO_METHOD *))                                                        \
	X(const BIO_METHOD *, BIO_s_mem, (void))                                                       \
	X(BIO *, BIO_new_fd, (int, int))                                                               \
	X(BIO_METHOD *, BIO_meth_new, (int, const char *))                                             \
	X(int, BIO_meth_set_write, (BIO_METHOD *, int (*)(BIO *, const char *, int)))                  \
	X(int, BIO_meth_set_read, (BIO_METHOD *, int (*)(BIO *, char *, int)))                         \
	X(int, BIO_meth_set_ctrl, (BIO_METHOD *, long (*)(BIO *, int, long, void *)))                  \
	X(void, BIO_set_data, (BIO *, void *))                                                         \
	X(void *, BIO_get_data, (BIO *))                                                               \
	X(void, BIO_set_init, (BIO *, int))                                                            \
	X(void, BIO_set_flags, (BIO *, int))                                                           \
	X(void, BIO_clear_flags, (BIO *, int))                                                         \
	X(BIO *, BIO_new_dgram, (int, int))                                                            \
	X(int, BIO_read, (BIO *, void *, int))                                                         \
	X(int, BIO_write, (BIO *, const void *, int))                                                  \
	X(int, BIO_up_ref, (BIO *))                                                                    \
	X(long, BIO_ctrl, (BIO *, int, long, void *))                                                  \
	X(void *, X509_STORE_CTX_get_ex_data, (void *, int))                                          \
	X(unsigned long, ERR_peek_error, (void))                                                       \
	X(void, ERR_clear_error, (void))                                                               \
	X(const char *, ERR_reason_error_string, (unsigned long))                                      \
	X(int, ASYNC_is_capable, (void))                                                               \
	X(int, ASYNC_pause_job, (void))                                                                \
	X(void *, ASYNC_get_current_job, (void))                                                       \
	X(void *, BIO_ADDR_new, (void))                                                                \
	X(void, BIO_ADDR_free, (void *))                                                               \
	X(int, BIO_ADDR_rawmake, (void *, int, const void *, size_t, unsigned short))
/* clang-format on */

#define DECLARE(type, name, parameters) extern type(*name) parameters;
LIBSSL(DECLARE)
LIBCRYPTO(DECLARE)
#undef DECLARE

enum {
	SSL_ERROR_WANT_READ = 2,
	SSL_ERROR_WANT_WRITE = 3,
	SSL_ERROR_WANT_X509_LOOKUP = 4,
	SSL_ERROR_SYSCALL = 5,
	SSL_ERROR_WANT_ASYNC = 9,
	SSL_CTRL_MODE = 33,
	SSL_CTRL_SET_SESS_CACHE_MODE = 44,
	SSL_CTRL_SET_TLSEXT_HOSTNAME = 55,
	SSL_CTRL_SET_GROUPS_LIST = 92,
	SSL_CTRL_SET_MIN_PROTO_VERSION = 123,
	SSL_CTRL_SET_MAX_PROTO_VERSION = 124,
	SSL_CTRL_GET_NEGOTIATED_GROUP = 134,
	SSL_MODE_ASYNC = 0x100,
	SSL_VERIFY_PEER = 1,
	SSL_VERIFY_FAIL_IF_NO_PEER_CERT = 2,
	SSL_FILETYPE_PEM = 1,
	SSL_ST_MASK = 0xf000,
	SSL_CB_EXIT = 0x02,
	SSL_CB_READ = 0x04,
	SSL_CB_WRITE = 0x08,
	SSL_CB_HANDSHAKE_START = 0x10,
	SSL_CB_ALERT = 0x4000,
	SSL_OP_NO_RENEGOTIATION = 1 << 30,
	SSL_TLSEXT_ERR_OK = 0,
	SSL_TLSEXT_ERR_ALERT_FATAL = 2,
	SSL_TLSEXT_ERR_NOACK = 3,
	SSL_READ_EARLY_DATA_ERROR = 0,
	SSL_READ_EARLY_DATA_FINISH = 2,
	SSL_EARLY_DATA_REJECTED = 1,
	SSL_EARLY_DATA_ACCEPTED = 2,
	SSL_KEY_UPDATE_REQUESTED = 1,
	SSL_SESS_CACHE_BOTH = 3,
	BIO_FLAGS_READ = 0x01,
	BIO_FLAGS_WRITE = 0x02,
	BIO_FLAGS_SHOULD_RETRY = 0x08,
	BIO_FLAGS_ALL_RETRY = 0x0f,
	BIO_TYPE_MEM = 0x401,
	BIO_CTRL_FLUSH = 11,
	BIO_CTRL_DGRAM_SET_CONNECTED = 32,
	BIO_C_SET_SSL = 109,
	BIO_C_SET_BUF_MEM_EOF_RETURN = 130,
	SSL_R_UNEXPECTED_EOF = 294,
	ERR_REASON_MASK = 0x7fffff,
	ERR_REASON_MASK_1_1 = 0xfff,
	VERSION_TLS1_2 = 0x0303,
	VERSION_TLS1_3 = 0x0304,
	VERSION_DTLS1_2 = 0xfefd,
};

#define ERR_SYSTEM_FLAG 0x80000000UL

void load_libraries(const char *libssl, const char *libcrypto);

/* boringssl.c: what BoringSSL has under other names. */
bool is_boringssl(void *libcrypto);
void adapt_boringssl(void *libssl, void *libcrypto);

/* 3.0 or later: errors, groups and much else changed with it. */
int is_openssl_3(void);
