/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Session affinity: a client keeps its backend of a service port, over all its frontends of a family (S26). */
#ifndef WEFT_AFFINITY_H
#define WEFT_AFFINITY_H

#include "flow.h"

#define NS_PER_SECOND 1000000000ULL

static __always_inline bool is_same_client(const struct affinity_key *a, const struct affinity_key *b) {
  return a->client == b->client && a->service_port == b->service_port && a->family == b->family;
}

/* False: there is no entry, or one that no longer holds (`is_old`). */
static __always_inline bool recall_affinity(const struct affinity_key *key, const struct found *found,
                                            struct target *target, bool *is_old) {
  __u64 now = bpf_ktime_get_coarse_ns(), limit = found->descriptor.affinity_seconds * NS_PER_SECOND;
  struct affinity_flow *entry = bpf_map_lookup_elem(&affinity_flows, key);
  struct affinity_flow copy;

  if (!entry) return false;
  copy = *entry;
  barrier();
  if (!is_same_client(&copy.key, key)) return false;
  *is_old = true;
  /* Another CPU may have been here a little later than `now`. */
  if (now > copy.last_use_ns && now - copy.last_use_ns >= limit) return false;
  if (copy.word != found->word && !is_eligible(&found->descriptor, &copy.address, copy.port)) return false;
  entry->last_use_ns = now;
  target->address = copy.address;
  target->port = copy.port;
  return true;
}

/* False if another CPU was faster. */
static __always_inline bool remember_affinity(const struct affinity_key *key, __u64 word, const struct target *target,
                                              bool is_old) {
  struct affinity_flow entry = {.key = *key,
                                .word = word,
                                .address = target->address,
                                .port = target->port,
                                .last_use_ns = bpf_ktime_get_coarse_ns()};

  if (is_old) bpf_map_delete_elem(&affinity_flows, key);
  return !bpf_map_update_elem(&affinity_flows, key, &entry, BPF_NOEXIST);
}

static __always_inline bool choose_any(const struct found *found, struct target *target) {
  const struct backend *backend = choose_backend(&found->descriptor);

  if (!backend) return false;
  target->address = backend->address;
  target->port = backend->port;
  return true;
}

/* The client is the network namespace: of a pod, or the node's for all host processes. `target` comes in as the frontend. */
static __always_inline bool choose_target(struct bpf_sock_addr *call, const struct found *found, struct target *target) {
  struct affinity_key key = {};
  const struct name *name;
  bool is_old = false;

  if (!found->descriptor.affinity_seconds) return choose_any(found, target);
  name = bpf_map_lookup_elem(&names, &found->descriptor.name);
  if (!name) return choose_any(found, target);
  key.client = bpf_get_netns_cookie(call);
  key.service_port = name->id;
  key.family = target->address.part[2] == bpf_htonl(0xffff) && !target->address.part[0] && !target->address.part[1] ? 4 : 6;
  if (recall_affinity(&key, found, target, &is_old)) return true;
  if (!choose_any(found, target)) return false;
  if (!remember_affinity(&key, found->word, target, is_old)) recall_affinity(&key, found, target, &is_old);
  return true;
}

#endif
