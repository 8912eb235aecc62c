// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The one translation unit: the program files share the maps of one object. */
#include "core_types.h"
#include "event.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include "maps.h"
#include "records.h"
#include "facts.h"
#include "registers.h"
#include "calls.h"
#include "tls_calls.h"
#include "tls_steps.h"
#include "tls.bpf.c"
#include "tcp.bpf.c"
#include "process.bpf.c"
#include "mappings.bpf.c"
#include "connections.bpf.c"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
