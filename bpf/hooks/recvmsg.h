/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* recvfrom() and recvmsg(): a reply comes from the frontend that was asked. */
#ifndef WEFT_HOOKS_RECVMSG_H
#define WEFT_HOOKS_RECVMSG_H

#include "../socket.h"
#include "getpeername.h"

/* True if `source` became a frontend. */
static __always_inline bool recvmsg(struct bpf_sock_addr *call, struct target *source) {
  struct bpf_sock *socket = call->sk;

  if (recall_reverse(bpf_get_socket_cookie(call), source, source)) return true;
  /* connect(AF_UNSPEC) runs no hook: what was remembered holds only while the socket is connected. */
  if (!socket || socket->state != STATE_CONNECTED) return false;
  return recall_connection(call, source);
}

#endif
