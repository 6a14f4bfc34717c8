/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Which word of a state a reader takes. */
#ifndef WEFT_WORDS_H
#define WEFT_WORDS_H

#include "read.h"
#include "types.h"

/*
 * At most one word of a pair is pending, so if the newer one is, the older one was active at some moment of this
 * lookup whatever its sequence. Without reading the first word again the pair could be of two different moments.
 */
static __always_inline __u64 choose_word(const struct state *state, __u64 sequence) {
  __u64 first = 0, second = 0, newer, older;

#pragma unroll
  for (int i = 0; i < WEFT_READS_MAX; i++) {
    first = READ(state->word[0]);
    second = READ(state->word[1]);
    if (first == READ(state->word[0])) break;
  }
  newer = first > second ? first : second;
  older = first > second ? second : first;
  if (newer >> WEFT_DESCRIPTOR_BITS <= sequence) return newer;
  return older;
}

#endif
