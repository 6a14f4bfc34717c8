/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* connect(): one choice per connection, TCP and UDP. */
#ifndef WEFT_HOOKS_CONNECT_H
#define WEFT_HOOKS_CONNECT_H

#include "../peer.h"
#include "../slot.h"
#include "../socket.h"

static __always_inline bool redirect_probe(struct target *target) {
  __u32 zero = 0;
  const struct settings *at = bpf_map_lookup_elem(&settings, &zero);

  if (!at || !at->probe_port) return false;
  target->address.part[3] = bpf_htonl(INADDR_LOOPBACK);
  target->port = at->probe_port;
  return true;
}

/* A socket may connect again, to something that is no service. */
static __always_inline void forget_connection(struct bpf_sock_addr *call) {
  const struct connection *connection;

  if (!call->sk) return;
  if (call->protocol == IPPROTO_TCP) free_slot(bpf_get_socket_cookie(call));
  connection = bpf_sk_storage_get(&connections, call->sk, NULL, 0);
  if (!connection) return;
  uncount_connection(connection);
  bpf_sk_storage_delete(&connections, call->sk);
}

/*
 * Deleted and made with its value, its addresses never changed in place: getpeername() may run meanwhile. The egress program
 * asks for storage only: a connection that it has to check has no slot.
 */
static __always_inline void remember_connection(struct bpf_sock_addr *call, const struct target *frontend,
                                                const struct target *backend, __u64 word, bool is_unjudged) {
  struct connection connection = {.frontend = frontend->address,
                                  .backend = backend->address,
                                  .frontend_port = frontend->port,
                                  .backend_port = backend->port,
                                  .is_unjudged = is_unjudged,
                                  .is_counted = call->protocol == IPPROTO_UDP,
                                  .word = word};

  if (!call->sk) return;
  forget_connection(call);
  if (call->protocol == IPPROTO_TCP && !is_unjudged && take_slot(bpf_get_socket_cookie(call), &connection)) return;
  if (!bpf_sk_storage_get(&connections, call->sk, &connection, BPF_SK_STORAGE_GET_F_CREATE)) return;
  if (connection.is_counted) count_peer(&connection, 1);
}

static __always_inline void forget_senders(struct bpf_sock_addr *call, const struct target *peer) {
  if (call->protocol == IPPROTO_UDP) forget_reverse(bpf_get_socket_cookie(call), peer);
}

/* -errno, or 0; then `target` is where to connect to. */
static __always_inline int connect(struct bpf_sock_addr *call, struct target *target, const struct address *source) {
  struct frontend_key key = frontend_of(call, target);
  struct target frontend = *target;
  enum source_verdict judged;
  struct found found = {};
  int verdict;

  if (!find(call, &key, &found)) {
    forget_connection(call);
    forget_senders(call, target);
    if (is_probe(&key)) redirect_probe(target);
    return 0;
  }
  judged = judge_source(&found.descriptor, source);
  if (judged == SOURCE_BLOCKED) return -EHOSTUNREACH;
  verdict = verdict_of(&found.descriptor);
  if (verdict) return verdict;
  if (!choose_target(call, &found, target)) return -ECONNREFUSED;
  remember_connection(call, &frontend, target, found.word, judged == SOURCE_UNKNOWN);
  forget_senders(call, target);
  return 0;
}

#endif
