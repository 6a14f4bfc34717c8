/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* From a frontend to what it does, under one `active`. The rule of reading is in ARCHITECTURE.md (atomic step). */
#ifndef WEFT_LOOKUP_H
#define WEFT_LOOKUP_H

#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "words.h"

/* 192.0.2.77:1/UDP (TEST-NET-1): leads to loopback, so that the agent can see that its programs run. */
#define PROBE_ADDRESS bpf_htonl(0xc000024d)
#define PROBE_PORT bpf_htons(1)

struct found {
  __u64 word;                   /* 0: nothing is there */
  struct descriptor descriptor; /* a copy; valid while the program runs */
};

static __always_inline bool is_same_address(const struct address *a, const struct address *b) {
  return a->part[0] == b->part[0] && a->part[1] == b->part[1] && a->part[2] == b->part[2] && a->part[3] == b->part[3];
}

static __always_inline __u64 read_active(void) {
  __u32 zero = 0;
  __u64 *at = bpf_map_lookup_elem(&active, &zero);

  return at ? READ(*at) : 0;
}

/* False if descriptor 0 or none is named. */
static __always_inline bool read_descriptor(__u64 word, struct found *found) {
  __u32 index = word & ((1 << WEFT_DESCRIPTOR_BITS) - 1);
  const struct descriptor *descriptor;

  if (!index) return false;
  descriptor = bpf_map_lookup_elem(&descriptors, &index);
  if (!descriptor) return false;
  found->word = word;
  found->descriptor = *descriptor;
  return true;
}

/* The key is compared after the words: an index may have got another owner since the element was found. */
static __always_inline bool find_frontend(const struct frontend_key *key, __u64 sequence, struct found *found) {
  const __u32 *index = bpf_map_lookup_elem(&frontends, key);
  const struct state *state;
  __u64 word;

  if (!index) return false;
  state = bpf_map_lookup_elem(&states, index);
  if (!state) return false;
  word = choose_word(state, sequence);
  if (!is_same_address(&state->key.address, &key->address)) return false;
  if (state->key.port != key->port || state->key.protocol != key->protocol || state->key.scope != key->scope) return false;
  return read_descriptor(word, found);
}

static __always_inline bool find_address(const struct address *address, __u64 sequence, struct found *found) {
  const __u32 *index = bpf_map_lookup_elem(&addresses, address);
  const struct state *state;
  __u64 word;

  if (!index) return false;
  state = bpf_map_lookup_elem(&states, index);
  if (!state) return false;
  word = choose_word(state, sequence);
  if (!is_same_address(&state->key.address, address) || state->key.port || state->length) return false;
  return read_descriptor(word, found);
}

/* A longer CIDR that is absent under this `active` must not hide a shorter one that is there. */
static __always_inline bool find_cidr(const struct address *address, __u64 sequence, struct found *found) {
  struct cidr_key key = {.length = 128, .address = *address};

#pragma unroll
  for (int i = 0; i < WEFT_CIDR_STEPS_MAX; i++) {
    const __u32 *index = bpf_map_lookup_elem(&cidrs, &key);
    const struct state *state;
    __u64 word;
    __u32 length;

    if (!index) return false;
    state = bpf_map_lookup_elem(&states, index);
    if (!state) return false;
    word = choose_word(state, sequence);
    length = READ(state->length);
    if (!length || length > key.length) return false;
    if (read_descriptor(word, found)) return true;
    key.length = length - 1;
  }
  return false;
}

static __always_inline bool is_probe(const struct frontend_key *key) {
  if (key->address.part[3] != PROBE_ADDRESS || key->port != PROBE_PORT) return false;
  if (key->address.part[0] || key->address.part[1] || key->address.part[2] != bpf_htonl(0xffff)) return false;
  return key->protocol == IPPROTO_UDP;
}

/*
 * False: not ours. A frontend that is found stands by itself. What was not found leads to the next map, and if a revision
 * became active in between, the maps would answer for two revisions: then all of it is done again.
 * Not static: the verifier looks at it once by itself, not with every state of every caller.
 */
__noinline bool lookup(const struct frontend_key *key, struct found *found) {
  bool is_found = false;

  if (!key || !found) return false;

#pragma nounroll
  for (int i = 0; i < WEFT_LOOKUPS_MAX; i++) {
    __u64 sequence = read_active();

    if (find_frontend(key, sequence, found)) return true;
    is_found = find_address(&key->address, sequence, found) || find_cidr(&key->address, sequence, found);
    barrier();
    if (read_active() == sequence) break;
  }
  return is_found && found->descriptor.action != ACTION_PASS;
}

static __always_inline const struct backend *choose_backend(const struct descriptor *descriptor) {
  __u32 index;

  if (!descriptor->backends_count) return NULL;
  index = descriptor->backends_base + (__u32)(((__u64)bpf_get_prandom_u32() * descriptor->backends_count) >> 32);
  return bpf_map_lookup_elem(&backends, &index);
}

#endif
