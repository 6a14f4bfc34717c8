/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* sendto() and sendmsg() with a destination: a UDP socket keeps its backend per frontend while that is eligible. */
#ifndef WEFT_HOOKS_SENDMSG_H
#define WEFT_HOOKS_SENDMSG_H

#include "../socket.h"

/* A connected socket that names its peer once more hears only from the backend that connect() chose. */
static __always_inline bool recall_connected(struct bpf_sock_addr *call, const struct found *found, struct target *target) {
  const struct connection *connection;
  struct bpf_sock *socket = call->sk;

  if (!socket || socket->state != STATE_CONNECTED) return false;
  connection = bpf_sk_storage_get(&connections, socket, NULL, 0);
  if (!connection || connection->frontend_port != target->port) return false;
  if (!is_same_address(&connection->frontend, &target->address)) return false;
  if (!is_eligible(&found->descriptor, &connection->backend, connection->backend_port)) return false;
  target->address = connection->backend;
  target->port = connection->backend_port;
  return true;
}

/* -errno, or 0; then `target` is where to send to. */
static __always_inline int sendmsg(struct bpf_sock_addr *call, struct target *target) {
  struct frontend_key key = frontend_of(call, target);
  struct target frontend = *target;
  struct udp_flow_key flow = {};
  bool is_current = false;
  struct found found = {};
  int verdict;

  if (!find(call, &key, &found)) return 0;
  verdict = verdict_of(&found.descriptor);
  if (verdict) return verdict;
  flow.cookie = bpf_get_socket_cookie(call);
  flow.frontend = key;
  if (recall_connected(call, &found, target)) {
    forget_reverse(flow.cookie, target);
    return 0;
  }
  if (!recall_target(&flow, &found, target, &is_current)) {
    if (!choose_target(call, &found, target)) return -ECONNREFUSED;
  }
  if (!is_current) remember_target(&flow, found.word, target);
  remember_reverse(flow.cookie, target, &frontend.address, frontend.port);
  return 0;
}

#endif
