/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Addresses of a socket call, both families as one. */
#ifndef WEFT_SOCKET_H
#define WEFT_SOCKET_H

#include "affinity.h"
#include "source.h"

#define ECONNREFUSED 111
#define EHOSTUNREACH 113

#define STATE_CONNECTED 1 /* TCP_ESTABLISHED, also of a connected UDP socket */

#define PASS 1
#define REFUSE 0

static __always_inline struct target read_target4(const struct bpf_sock_addr *call) {
  struct target target = {.address = {.part = {0, 0, bpf_htonl(0xffff), call->user_ip4}}, .port = call->user_port};

  return target;
}

static __always_inline void write_target4(struct bpf_sock_addr *call, const struct target *target) {
  call->user_ip4 = target->address.part[3];
  call->user_port = target->port;
}

static __always_inline struct target read_target6(const struct bpf_sock_addr *call) {
  struct target target = {
      .address = {.part = {call->user_ip6[0], call->user_ip6[1], call->user_ip6[2], call->user_ip6[3]}},
      .port = call->user_port};

  return target;
}

static __always_inline void write_target6(struct bpf_sock_addr *call, const struct target *target) {
  call->user_ip6[0] = target->address.part[0];
  call->user_ip6[1] = target->address.part[1];
  call->user_ip6[2] = target->address.part[2];
  call->user_ip6[3] = target->address.part[3];
  call->user_port = target->port;
}

/* The source that a socket was bound to; any address if it was not. */
static __always_inline struct address read_bound4(const struct bpf_sock_addr *call) {
  struct address address = {.part = {0, 0, bpf_htonl(0xffff), 0}};
  struct bpf_sock *socket = call->sk;

  if (socket) address.part[3] = socket->src_ip4;
  return address;
}

static __always_inline struct address read_bound6(const struct bpf_sock_addr *call) {
  struct address address = {};
  struct bpf_sock *socket = call->sk;

  if (!socket) return address;
  address.part[0] = socket->src_ip6[0];
  address.part[1] = socket->src_ip6[1];
  address.part[2] = socket->src_ip6[2];
  address.part[3] = socket->src_ip6[3];
  return address;
}

static __always_inline bool is_served(const struct bpf_sock_addr *call) {
  return call->protocol == IPPROTO_TCP || call->protocol == IPPROTO_UDP;
}

static __always_inline struct frontend_key frontend_of(const struct bpf_sock_addr *call, const struct target *target) {
  struct frontend_key key = {
      .address = target->address, .port = target->port, .protocol = call->protocol, .scope = SCOPE_INTERNAL};

  return key;
}

/* 127.0.0.0/8 is served to the node only: a pod's own loopback is its own. */
static __always_inline bool is_loopback_of_pod(struct bpf_sock_addr *call, const struct address *address) {
  __u32 zero = 0;
  const struct settings *at;

  if (address->part[0] || address->part[1] || address->part[2] != bpf_htonl(0xffff)) return false;
  if (bpf_ntohl(address->part[3]) >> 24 != 127) return false;
  at = bpf_map_lookup_elem(&settings, &zero);
  return !at || bpf_get_netns_cookie(call) != at->host_netns_cookie;
}

/* False: not ours. */
static __always_inline bool find(struct bpf_sock_addr *call, const struct frontend_key *key, struct found *found) {
  return !is_loopback_of_pod(call, &key->address) && lookup(key, found);
}

/* 0: forward. Both refusals are immediate (S31). */
static __always_inline int verdict_of(const struct descriptor *descriptor) {
  if (descriptor->action == ACTION_DROP) return -EHOSTUNREACH;
  if (descriptor->action != ACTION_FORWARD || !descriptor->backends_count) return -ECONNREFUSED;
  return 0;
}

static __always_inline int finish(int verdict) {
  if (!verdict) return PASS;
  bpf_set_retval(verdict);
  return REFUSE;
}

#endif
