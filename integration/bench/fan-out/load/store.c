/* SPDX-License-Identifier: Apache-2.0 */
/* What all agents hold at the newest revision: ids and hashes, for the digest that an ack carries. All agents are sent the same
 * resources, so one of them keeps the books for all. See proto/hash.ts and proto/digest.ts. */
#include "load.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS (1u << 21)
#define DIGESTS_KEPT 4096

enum kind { KIND_NONE, KIND_SERVICE = 2, KIND_BACKEND = 3, KIND_GONE = 255 };

static struct slot {
  uint64_t id, hash;
  uint8_t kind;
} *slots;
static uint32_t used;
static uint64_t root, revision_now;
static struct totals totals;
static struct {
  uint64_t revision, digest;
} digests[DIGESTS_KEPT];

static uint32_t rotate(uint32_t x, int bits) { return (x << bits) | (x >> (32 - bits)); }

static uint32_t mix(uint32_t h) {
  h = (h ^ (h >> 16)) * 0x85ebca6b;
  h = (h ^ (h >> 13)) * 0xc2b2ae35;
  return h ^ (h >> 16);
}

/* MurmurHash3 x86_128, seed 0: its first 64 bits. */
static uint64_t hash64(const uint8_t *bytes, size_t length) {
  static const uint32_t c1 = 0x239b961b, c2 = 0xab0e9789, c3 = 0x38b34ae5, c4 = 0xa1e38b93;
  uint32_t h1 = 0, h2 = 0, h3 = 0, h4 = 0, w[4];
  size_t at = 0;

  for (; at + 16 <= length; at += 16) {
    memcpy(w, bytes + at, 16);
    h1 ^= rotate(w[0] * c1, 15) * c2;
    h1 = (rotate(h1, 19) + h2) * 5 + 0x561ccd1b;
    h2 ^= rotate(w[1] * c2, 16) * c3;
    h2 = (rotate(h2, 17) + h3) * 5 + 0x0bcaa747;
    h3 ^= rotate(w[2] * c3, 17) * c4;
    h3 = (rotate(h3, 15) + h4) * 5 + 0x96cd1c35;
    h4 ^= rotate(w[3] * c4, 18) * c1;
    h4 = (rotate(h4, 13) + h1) * 5 + 0x32ac3b17;
  }
  memset(w, 0, sizeof w);
  memcpy(w, bytes + at, length - at);
  h4 ^= rotate(w[3] * c4, 18) * c1;
  h3 ^= rotate(w[2] * c3, 17) * c4;
  h2 ^= rotate(w[1] * c2, 16) * c3;
  h1 ^= rotate(w[0] * c1, 15) * c2;
  h1 ^= length, h2 ^= length, h3 ^= length, h4 ^= length;
  h1 += h2 + h3 + h4;
  h2 += h1, h3 += h1, h4 += h1;
  h1 = mix(h1), h2 = mix(h2), h3 = mix(h3), h4 = mix(h4);
  h1 += h2 + h3 + h4;
  h2 += h1;
  return (uint64_t)h2 << 32 | h1;
}

/* The slot of that id, or the free one where it belongs. */
static struct slot *find(uint64_t id) {
  struct slot *free_slot = NULL;

  for (uint32_t at = id & (SLOTS - 1);; at = (at + 1) & (SLOTS - 1)) {
    struct slot *slot = &slots[at];
    if (slot->kind == KIND_NONE) return free_slot ? free_slot : slot;
    if (slot->kind == KIND_GONE) {
      if (!free_slot) free_slot = slot;
    } else if (slot->id == id) {
      return slot;
    }
  }
}

static bool is_held(const struct slot *slot) { return slot->kind != KIND_NONE && slot->kind != KIND_GONE; }

static void count(uint8_t kind, int by) {
  if (kind == KIND_SERVICE) totals.services += by;
  if (kind == KIND_BACKEND) totals.backends += by;
}

void store_begin(void) {
  if (!slots && !(slots = calloc(SLOTS, sizeof *slots))) fail("out of memory");
  memset(slots, 0, (size_t)SLOTS * sizeof *slots);
  used = 0;
  root = 0;
  totals = (struct totals){0};
}

/* `Resource`: the id is field 1 and comes first, the field behind it says the kind. */
void store_put(const uint8_t *resource, size_t length) {
  struct slot *slot;
  uint64_t id;

  if (length < 10 || resource[0] != 0x09) fail("a resource does not begin with its id");
  memcpy(&id, resource + 1, 8);
  slot = find(id);
  if (is_held(slot)) {
    root -= slot->hash;
    count(slot->kind, -1);
  } else if (slot->kind == KIND_NONE && ++used > SLOTS / 2) {
    fail("more resources than this program has room for");
  }
  slot->id = id;
  slot->hash = hash64(resource, length);
  slot->kind = resource[9] >> 3;
  root += slot->hash;
  count(slot->kind, 1);
}

void store_remove(uint64_t id) {
  struct slot *slot = find(id);

  if (!is_held(slot)) return;
  if (slot->kind == KIND_SERVICE) fail("a service was removed: its backends would have to go with it");
  root -= slot->hash;
  count(slot->kind, -1);
  slot->kind = KIND_GONE;
}

void store_commit(uint64_t revision) {
  revision_now = revision;
  digests[revision % DIGESTS_KEPT].revision = revision;
  digests[revision % DIGESTS_KEPT].digest = root;
}

uint64_t store_revision(void) { return revision_now; }

bool store_digest(uint64_t revision, uint64_t *digest) {
  if (digests[revision % DIGESTS_KEPT].revision != revision) return false;
  *digest = digests[revision % DIGESTS_KEPT].digest;
  return true;
}

struct totals store_totals(void) { return totals; }
