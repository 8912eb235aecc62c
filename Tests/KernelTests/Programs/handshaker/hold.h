/* SPDX-License-Identifier: Apache-2.0 */
/* What an application does in a callback while the handshake waits. */
#pragma once

#include <stdbool.h>

#include "witness.h"

/* A look-up at another server, over a connection of its own; its time is in the witness. */
void ask_store(struct witness *witness);

/* What the scenario does where the server chooses its certificate; false: not yet, call again. */
bool hold_handshake(struct witness *witness);
