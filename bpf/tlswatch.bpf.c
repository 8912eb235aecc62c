// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The one translation unit: the program files share the maps of one object. */
#include "tls.bpf.h"
#include "socket_io.bpf.h"
#include "tcp_states.bpf.h"
#include "process.bpf.h"
#include "mappings.bpf.h"
#include "connections.bpf.h"
#include "wire.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
