/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The programs on TLS-library functions: one enter and one return, whatever the library. The attach
 * cookie says what the site stands for and where its parameters are; the library's profile says
 * where its facts stand. Nothing here knows a library or a version.
 */
#ifndef TLSWATCH_TLS_BPF_H
#define TLSWATCH_TLS_BPF_H

#include "tls_messages.bpf.h"
#include "tls_returns.bpf.h"
#include "tls_steps.bpf.h"

extern bool bpf_session_is_return(void) __ksym __weak; /* Linux 6.13 */

static __always_inline struct tlswatch_site *site_of(struct pt_regs *ctx)
{
	__u32 index = bpf_get_attach_cookie(ctx);

	return bpf_map_lookup_elem(&sites, &index);
}

static __always_inline int enter(struct pt_regs *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	struct tlswatch_site *site = site_of(ctx);
	__u32 hook, program;

	if (!site)
		return 1;
	hook = site->hook;
	program = hook == TLSWATCH_HOOK_CALL_EXIT || hook == TLSWATCH_HOOK_KEY_AGREEMENT_EXIT ?
			  TLSWATCH_PROGRAM_RETURN :
			  TLSWATCH_PROGRAM_ENTER;
	count_library_hit(site->profile);
	if (knobs.filter_processes && !is_observed(bpf_get_current_pid_tgid() >> 32)) {
		count_drop(program, TLSWATCH_DROP_OTHER_PROCESS);
		return 1;
	}
	switch (hook) {
	case TLSWATCH_HOOK_CALL:
		if (!step_is_over(ctx, site))
			return enter_call(ctx, site, now) != 0;
		exit_call(ctx, site, now);
		break;
	case TLSWATCH_HOOK_CALL_EXIT:
		exit_call(ctx, site, now);
		break;
	case TLSWATCH_HOOK_KEY_AGREEMENT:
		enter_agreement(ctx, site, now);
		break;
	case TLSWATCH_HOOK_KEY_AGREEMENT_EXIT:
		exit_agreement(ctx, site, now);
		break;
	case TLSWATCH_HOOK_OBJECT_FREE:
		object_free(ctx, site, now);
		break;
	case TLSWATCH_HOOK_PAUSE:
		pause_call(ctx, site, now);
		break;
	case TLSWATCH_HOOK_MESSAGE_RECEIVED:
	case TLSWATCH_HOOK_MESSAGE_SENT:
	case TLSWATCH_HOOK_STATE_DROPPED:
		see_message(ctx, site, now);
		break;
	case TLSWATCH_HOOK_COMPLETED:
	case TLSWATCH_HOOK_FAILED:
		see_end(ctx, site, now);
		break;
	default:
		step_call(ctx, site, now);
		break;
	}
	return 1;
}

static __always_inline void leave(struct pt_regs *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	const struct tlswatch_site *site = site_of(ctx);

	if (!site)
		return;
	count_library_hit(site->profile);
	return_call(ctx, site, now);
}

/* Entry and return in one program; a nonzero entry leaves the return alone. Linux 6.13. */
SEC("uprobe") /* uprobe.session: set at load, libbpf 1.1 has no section for it */
int tls_session(struct pt_regs *ctx)
{
	if (bpf_session_is_return()) {
		leave(ctx);
		return 0;
	}
	return enter(ctx);
}

SEC("uprobe")
int tls_enter(struct pt_regs *ctx)
{
	enter(ctx);
	return 0;
}

SEC("uretprobe")
int tls_return(struct pt_regs *ctx)
{
	leave(ctx);
	return 0;
}

#endif
