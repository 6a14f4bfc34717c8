/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * A hot reader for the stress test, run by BPF_PROG_TEST_RUN: looks up a frontend as the hooks do and checks what it found.
 * The writer makes revision = sequence, and every backend of a frontend is 10.<24 bits of the revision>:<number of the frontend>.
 */
#ifndef WEFT_TEST_READER_H
#define WEFT_TEST_READER_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_helpers.h>

#include "../lookup.h"

#define QUESTIONS_MAX 16

struct question {
  struct frontend_key key;
  __be16 number;    /* port of its backends */
  __u8 is_steady;   /* present in every revision */
  __u8 reserved;
};
_Static_assert(sizeof(struct question) == 24, "question");

struct tally {
  __u64 reads;
  __u64 missed;  /* a steady frontend was not found, or not forwarded */
  __u64 stale;   /* of a revision before the one that was active when the lookup began */
  __u64 early;   /* of one after the one that was active when it ended */
  __u64 foreign; /* of another frontend */
  __u64 torn;    /* descriptor and backend of two revisions */
  __u64 absent;  /* not steady, and not there */
};
_Static_assert(sizeof(struct tally) == 56, "tally");

/* what to ask for; the first with number 0 ends the list */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, QUESTIONS_MAX);
  __type(key, __u32);
  __type(value, struct question);
} questions SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} questions_count SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct tally);
} tallies SEC(".maps");

SEC("xdp")
int reader(struct xdp_md *packet) {
  __u32 zero = 0, at, revision;
  __u32 *count = bpf_map_lookup_elem(&questions_count, &zero);
  struct tally *tally = bpf_map_lookup_elem(&tallies, &zero);
  const struct question *question;
  const struct backend *backend;
  __u64 before, after;
  struct frontend_key key;
  struct found found = {};
  bool is_found;

  (void)packet;
  if (!count || !*count || !tally) return XDP_PASS;
  at = bpf_get_prandom_u32() % *count;
  question = bpf_map_lookup_elem(&questions, &at);
  if (!question) return XDP_PASS;
  key = question->key;
  tally->reads++;
  before = read_active();
  is_found = lookup(&key, &found);
  if (!is_found || found.descriptor.action != ACTION_FORWARD) {
    if (question->is_steady)
      tally->missed++;
    else
      tally->absent++;
    return XDP_PASS;
  }
  backend = choose_backend(&found.descriptor);
  if (!backend) {
    tally->missed++;
    return XDP_PASS;
  }
  revision = bpf_ntohl(READ(backend->address.part[3])) & 0xffffff;
  if (READ(backend->port) != question->number) tally->foreign++;
  if (revision != (found.descriptor.revision & 0xffffff)) tally->torn++;
  barrier();
  after = read_active();
  if (revision < (before & 0xffffff)) tally->stale++;
  if (revision > (after & 0xffffff)) tally->early++;
  return XDP_PASS;
}

char _license[] SEC("license") = "GPL";

#endif
