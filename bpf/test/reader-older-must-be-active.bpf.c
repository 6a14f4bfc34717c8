// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Broken on purpose: the older word counts only if it is active too. Takes the place of words.h. Looked up once: a second
// lookup, which follows an activation, would cover for it.
#define WEFT_WORDS_H
#include "../read.h"
#include "../types.h"

#undef WEFT_LOOKUPS_MAX
#define WEFT_LOOKUPS_MAX 1

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
  return older >> WEFT_DESCRIPTOR_BITS <= sequence ? older : 0;
}

#include "reader.h"
