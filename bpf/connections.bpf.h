/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which processes hold TCP or UDP sockets on ports where TLS is spoken from the first byte, so that those without a TLS
 * library that is known can be told.
 */
#ifndef TLSWATCH_CONNECTIONS_BPF_H
#define TLSWATCH_CONNECTIONS_BPF_H

#include "core_types.h"
#include "event.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

/* IANA's registry of service names and ports: those of TLS alone that are in use. */
static bool is_tls_port(__u16 port)
{
	switch (port) {
	case 443:  /* https */
	case 465:  /* submissions */
	case 563:  /* nntps */
	case 636:  /* ldaps */
	case 853:  /* domain-s */
	case 990:  /* ftps */
	case 992:  /* telnets */
	case 993:  /* imaps */
	case 995:  /* pop3s */
	case 2376: /* docker-s */
	case 3269: /* msft-gc-ssl */
	case 5061: /* sips */
	case 5671: /* amqps */
	case 5986: /* wsmans */
	case 6443: /* Kubernetes' API */
	case 6514: /* syslog-tls */
	case 6697: /* ircs-u */
	case 8443: /* https, without root */
	case 8883: /* secure-mqtt */
		return true;
	}
	return false;
}

SEC("iter/task_file")
int list_connections(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct tlswatch_connection record = {};
	struct socket *socket;
	struct sock *sk;
	__u16 peer;
	__u8 state;
	bool listening;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || (sk->sk_protocol != IPPROTO_TCP && sk->sk_protocol != IPPROTO_UDP))
		return 0;
	if (sk->__sk_common.skc_family != AF_INET && sk->__sk_common.skc_family != AF_INET6)
		return 0;
	state = sk->__sk_common.skc_state;
	/* A server's UDP socket is not connected. */
	listening = state == (sk->sk_protocol == IPPROTO_TCP ? TCP_LISTEN : TCP_CLOSE);
	if (state != TCP_ESTABLISHED && !listening)
		return 0;
	record.port = sk->__sk_common.skc_num;
	peer = bpf_ntohs(sk->__sk_common.skc_dport);
	if (!is_tls_port(record.port)) {
		if (!is_tls_port(peer))
			return 0;
		record.port = peer;
	}
	record.pid = task->tgid;
	record.listening = listening;
	/* A socket belongs to the group that it was made in, an accepted one to its listener's. */
	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		record.group = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
	bpf_seq_write(context->meta->seq, &record, sizeof(record));
	return 0;
}

#endif
