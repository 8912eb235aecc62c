/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* So many handshakes, one after the other, by the options. */
void make_handshakes(unsigned count);
