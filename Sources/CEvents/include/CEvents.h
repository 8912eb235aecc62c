#ifndef TLSWATCH_CEVENTS_H
#define TLSWATCH_CEVENTS_H

/* The wire contract, for Swift and for the C beside it. */
#include "../../../bpf/counters.h"
#include "../../../bpf/event.h"
#include "../../../bpf/profile.h"

#endif
