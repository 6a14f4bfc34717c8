/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The end of a socket. */
#ifndef WEFT_HOOKS_SOCK_RELEASE_H
#define WEFT_HOOKS_SOCK_RELEASE_H

#include "../peer.h"
#include "../slot.h"
#include "../socket.h"

static __always_inline int release(struct bpf_sock *socket) {
  const struct connection *connection;

  if (socket->protocol == IPPROTO_TCP) free_slot(bpf_get_socket_cookie(socket));
  if (socket->protocol != IPPROTO_UDP) return PASS;
  connection = bpf_sk_storage_get(&connections, socket, NULL, 0);
  if (connection) uncount_connection(connection);
  return PASS;
}

#endif
