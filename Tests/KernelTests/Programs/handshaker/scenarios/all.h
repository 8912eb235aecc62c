/* SPDX-License-Identifier: Apache-2.0 */
/* What the table's rows run. */
#pragma once

/* complete.c */
void run_plain(void);
void run_early_data(void);
void run_many(void);
void run_children(void);
void run_fast_open(void);
void run_full_queue(void);

/* peers.c */
void run_close_notify(void);
void run_peer_closes(void);
void run_reset(void);
void run_reset_before_answer(void);
void run_reset_in_call(void);
void run_garbage(void);
void run_plain_http(void);
void run_silent_client(void);

/* objects.c */
void run_free_mid_handshake(void);
void run_close_fd_mid_handshake(void);
void run_clear_reuse(void);
void run_address_reuse(void);
void run_up_ref(void);

/* processes.c */
void run_kill(void);
void run_exec_mid(void);
void run_fork_after_new(void);
void run_fork_mid(void);

/* jobs.c */
void run_async(void);
void run_async_interleaved(void);

/* afterwards.c */
void run_renegotiate(void);
void run_refused_renegotiation(void);
void run_key_update(void);
void run_post_handshake_auth(void);

/* carried.c */
void run_nested(void);
void run_quic(void);
