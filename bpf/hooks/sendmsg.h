/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* sendto() and sendmsg() with a destination: a UDP socket keeps its backend per frontend while that is eligible. */
#ifndef WEFT_HOOKS_SENDMSG_H
#define WEFT_HOOKS_SENDMSG_H

#include "../socket.h"

/* The source is known only in its packets. */
static __always_inline void mark_sender(struct bpf_sock_addr *call) {
  __u64 marked = 1;

  if (call->sk) bpf_sk_storage_get(&guarded_senders, call->sk, &marked, BPF_SK_STORAGE_GET_F_CREATE);
}

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
static __always_inline int sendmsg(struct bpf_sock_addr *call, struct target *target, const struct address *source) {
  struct frontend_key key = frontend_of(call, target);
  struct target frontend = *target;
  struct udp_flow_key flow = {};
  bool is_current = false;
  enum source_verdict judged;
  struct found found = {};
  int verdict;

  if (!find(call, &key, &found)) return 0;
  judged = judge_source(&found.descriptor, source);
  if (judged == SOURCE_BLOCKED) return -EHOSTUNREACH;
  verdict = verdict_of(&found.descriptor);
  if (verdict) return verdict;
  flow.cookie = bpf_get_socket_cookie(call);
  flow.frontend = key;
  if (recall_connected(call, &found, target)) {
    forget_reverse(flow.cookie, target);
    if (judged == SOURCE_UNKNOWN) mark_sender(call);
    return 0;
  }
  if (!recall_target(&flow, &found, target, &is_current)) {
    if (!choose_target(call, &found, target)) return -ECONNREFUSED;
  }
  if (!is_current) remember_target(&flow, found.word, target);
  if (judged == SOURCE_UNKNOWN) mark_sender(call);
  remember_reverse(flow.cookie, target, &frontend.address, frontend.port);
  return 0;
}

#endif
