/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Who may use a frontend: sets of source ranges (S15, S31). */
#ifndef WEFT_SOURCE_H
#define WEFT_SOURCE_H

#include "flow-maps.h"
#include "lookup.h"

#define RANGE_SET_BITS 32

static __always_inline bool is_any_address(const struct address *address) {
  return !address->part[0] && !address->part[1] && !address->part[3] &&
         (!address->part[2] || address->part[2] == bpf_htonl(0xffff));
}

static __always_inline bool is_allowed(__u32 range_set, const struct address *source) {
  struct range_key key = {.length = RANGE_SET_BITS + 128, .set = range_set, .address = *source};

  return bpf_map_lookup_elem(&ranges, &key) != NULL;
}

enum source_verdict {
  SOURCE_ALLOWED,
  SOURCE_BLOCKED,
  SOURCE_UNKNOWN, /* the kernel chooses it later: the egress program judges */
};

static __always_inline enum source_verdict judge_source(const struct descriptor *descriptor,
                                                        const struct address *source) {
  if (!descriptor->range_set) return SOURCE_ALLOWED;
  if (is_any_address(source)) return SOURCE_UNKNOWN;
  return is_allowed(descriptor->range_set, source) ? SOURCE_ALLOWED : SOURCE_BLOCKED;
}

#endif
