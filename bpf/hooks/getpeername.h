/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* getpeername(): a connected socket sees what it asked for. */
#ifndef WEFT_HOOKS_GETPEERNAME_H
#define WEFT_HOOKS_GETPEERNAME_H

#include "../slot.h"
#include "../socket.h"

static __always_inline const struct connection *connection_of(struct bpf_sock_addr *call) {
  const struct connection_slot *slot;

  if (call->protocol == IPPROTO_TCP) {
    slot = own_slot(bpf_get_socket_cookie(call));
    if (slot) return &slot->connection;
  }
  return call->sk ? bpf_sk_storage_get(&connections, call->sk, NULL, 0) : NULL;
}

/* True if `peer` became a frontend. What was remembered for another peer does not count. */
static __always_inline bool recall_connection(struct bpf_sock_addr *call, struct target *peer) {
  const struct connection *connection = connection_of(call);

  if (!connection || connection->backend_port != peer->port) return false;
  if (!is_same_address(&connection->backend, &peer->address)) return false;
  peer->address = connection->frontend;
  peer->port = connection->frontend_port;
  return true;
}

#endif
