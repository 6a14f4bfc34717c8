// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Broken on purpose: the first word is not read again. Takes the place of words.h.
#define WEFT_WORDS_H
#include "../read.h"
#include "../types.h"

static __always_inline __u64 choose_word(const struct state *state, __u64 sequence) {
  __u64 first = READ(state->word[0]), second = READ(state->word[1]);
  __u64 newer = first > second ? first : second, older = first > second ? second : first;

  return newer >> WEFT_DESCRIPTOR_BITS <= sequence ? newer : older;
}

#include "reader.h"
