/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* getpeername(): a connected socket sees what it asked for. */
#ifndef WEFT_HOOKS_GETPEERNAME_H
#define WEFT_HOOKS_GETPEERNAME_H

#include "../socket.h"

/* True if `peer` became a frontend. What was remembered for another peer does not count. */
static __always_inline bool recall_connection(struct bpf_sock_addr *call, struct target *peer) {
  const struct connection *connection;

  if (!call->sk) return false;
  connection = bpf_sk_storage_get(&connections, call->sk, NULL, 0);
  if (!connection || connection->backend_port != peer->port) return false;
  if (!is_same_address(&connection->backend, &peer->address)) return false;
  peer->address = connection->frontend;
  peer->port = connection->frontend_port;
  return true;
}

#endif
