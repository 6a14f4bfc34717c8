/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What sockets remember: the backend of an unconnected UDP socket, and the way back from a backend to its frontend. */
#ifndef WEFT_FLOW_H
#define WEFT_FLOW_H

#include "flow-maps.h"
#include "lookup.h"

struct target {
  struct address address;
  __be16 port;
};

static __always_inline bool is_same_flow(const struct udp_flow_key *a, const struct udp_flow_key *b) {
  return a->cookie == b->cookie && is_same_address(&a->frontend.address, &b->frontend.address) &&
         a->frontend.port == b->frontend.port && a->frontend.protocol == b->frontend.protocol &&
         a->frontend.scope == b->frontend.scope;
}

/* Negative, 0 or positive: the order of ranges. */
static __always_inline int compare_backend(const struct backend *backend, const struct address *address, __be16 port) {
#pragma unroll
  for (int i = 0; i < 4; i++) {
    __u32 a = bpf_ntohl(backend->address.part[i]), b = bpf_ntohl(address->part[i]);

    if (a != b) return a < b ? -1 : 1;
  }
  return (int)bpf_ntohs(backend->port) - (int)bpf_ntohs(port);
}

/* Not static, as lookup(). */
__noinline bool is_eligible(const struct descriptor *descriptor, const struct address *address, __be16 port) {
  __u32 low = 0, high;

  if (!descriptor || !address) return false;
  high = descriptor->backends_count;

  for (int i = 0; i < WEFT_SEARCH_STEPS_MAX; i++) {
    __u32 middle = low + (high - low) / 2, index = descriptor->backends_base + middle;
    const struct backend *backend;
    int order;

    if (low >= high) return false;
    backend = bpf_map_lookup_elem(&backends, &index);
    if (!backend) return false;
    order = compare_backend(backend, address, port);
    if (!order) return true;
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return false;
}

/* True if the socket has a backend for this frontend that is still eligible. */
static __always_inline bool recall_target(const struct udp_flow_key *key, const struct found *found, struct target *target,
                                          bool *is_current) {
  struct udp_flow *entry = bpf_map_lookup_elem(&udp_flows, key);
  struct udp_flow copy;

  if (!entry) return false;
  copy = *entry;
  barrier();
  if (!is_same_flow(&copy.key, key)) return false;
  *is_current = copy.word == found->word;
  if (!*is_current && !is_eligible(&found->descriptor, &copy.address, copy.port)) return false;
  if (*is_current) entry->last_use_ns = bpf_ktime_get_coarse_ns();
  target->address = copy.address;
  target->port = copy.port;
  return true;
}

/* A failed insert means that the choice stands for this call. */
static __always_inline void remember_target(const struct udp_flow_key *key, __u64 word, const struct target *target) {
  struct udp_flow entry = {.key = *key, .word = word, .address = target->address, .port = target->port};

  entry.last_use_ns = bpf_ktime_get_coarse_ns();
  bpf_map_delete_elem(&udp_flows, key);
  bpf_map_update_elem(&udp_flows, key, &entry, BPF_NOEXIST);
}

static __always_inline bool is_same_reverse(const struct reverse_flow_key *a, const struct reverse_flow_key *b) {
  return a->cookie == b->cookie && a->port == b->port && is_same_address(&a->backend, &b->backend);
}

/* The last frontend that the socket used for this backend wins. */
static __always_inline void remember_reverse(__u64 cookie, const struct target *backend, const struct address *frontend,
                                             __be16 port) {
  struct reverse_flow entry = {
      .key = {.cookie = cookie, .backend = backend->address, .port = backend->port}, .frontend = *frontend, .port = port};
  struct reverse_flow *old = bpf_map_lookup_elem(&reverse_flows, &entry.key);

  if (old && old->port == port && is_same_address(&old->frontend, frontend) && is_same_reverse(&old->key, &entry.key))
    return;
  if (old) bpf_map_delete_elem(&reverse_flows, &entry.key);
  bpf_map_update_elem(&reverse_flows, &entry.key, &entry, BPF_NOEXIST);
}

/* connect() is a later use of this backend than any sendto() before it; what it chose is remembered with the socket. */
static __always_inline void forget_reverse(__u64 cookie, const struct target *backend) {
  struct reverse_flow_key key = {.cookie = cookie, .backend = backend->address, .port = backend->port};

  bpf_map_delete_elem(&reverse_flows, &key);
}

static __always_inline bool recall_reverse(__u64 cookie, const struct target *backend, struct target *frontend) {
  struct reverse_flow_key key = {.cookie = cookie, .backend = backend->address, .port = backend->port};
  const struct reverse_flow *entry = bpf_map_lookup_elem(&reverse_flows, &key);
  struct reverse_flow copy;

  if (!entry) return false;
  copy = *entry;
  barrier();
  if (!is_same_reverse(&copy.key, &key)) return false;
  frontend->address = copy.frontend;
  frontend->port = copy.port;
  return true;
}

#endif
