/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The programs on TLS-library functions: one enter and one return, whatever the library. The attach
 * cookie says what the site stands for and where its parameters are; the library's profile says
 * where its facts stand. Nothing here knows a library or a version.
 */

extern bool bpf_session_is_return(void) __ksym __weak; /* Linux 6.13 */

static __always_inline int enter(struct pt_regs *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 cookie = bpf_get_attach_cookie(ctx);
	__u32 hook = (cookie >> 16) & 0xff;
	bool exits = hook == TLSWATCH_HOOK_STATE_MACHINE_EXIT || hook == TLSWATCH_HOOK_KEY_AGREEMENT_EXIT;
	__u32 program = exits ? TLSWATCH_PROGRAM_RETURN : TLSWATCH_PROGRAM_ENTER;

	count_hit(program);
	count_library_hit(cookie & 0xffff);
	if (filter_processes && !is_observed(bpf_get_current_pid_tgid() >> 32)) {
		count_drop(program, TLSWATCH_DROP_OTHER_PROCESS);
		return 1;
	}
	switch (hook) {
	case TLSWATCH_HOOK_STATE_MACHINE:
		return enter_call(ctx, cookie, now) != 0;
	case TLSWATCH_HOOK_STATE_MACHINE_EXIT:
		exit_call(ctx, cookie, now);
		break;
	case TLSWATCH_HOOK_KEY_AGREEMENT:
		enter_agreement(ctx, cookie, now);
		break;
	case TLSWATCH_HOOK_KEY_AGREEMENT_EXIT:
		exit_agreement(ctx, cookie, now);
		break;
	case TLSWATCH_HOOK_OBJECT_FREE:
		object_free(ctx, cookie, now);
		break;
	case TLSWATCH_HOOK_PAUSE:
		pause(now);
		break;
	default:
		step(ctx, cookie, now);
		break;
	}
	return 1;
}

static __always_inline void leave(struct pt_regs *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 cookie = bpf_get_attach_cookie(ctx);

	count_hit(TLSWATCH_PROGRAM_RETURN);
	count_library_hit(cookie & 0xffff);
	return_call(ctx, cookie, now);
}

/* Entry and return in one program; a nonzero entry leaves the return alone. Linux 6.13. */
SEC("uprobe")
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
