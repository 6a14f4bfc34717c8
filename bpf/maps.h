/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Hash elements are only inserted and deleted; all that changes lives in mmap-able arrays, written with plain stores. */
#ifndef WEFT_MAPS_H
#define WEFT_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "types.h"

/* frontend -> index of its state */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WEFT_FRONTENDS_MAX);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct frontend_key);
  __type(value, __u32);
} frontends SEC(".maps");

/* ClusterIP -> index of the state that says what its undefined ports do: reject or pass */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WEFT_FRONTENDS_MAX);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct address);
  __type(value, __u32);
} addresses SEC(".maps");

/* service CIDR -> index of the state that says what its unassigned addresses do */
struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, WEFT_CIDRS_MAX);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct cidr_key);
  __type(value, __u32);
} cidrs SEC(".maps");

/* index -> key and two words, of which `active` chooses one */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, WEFT_STATES_MAX);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct state);
} states SEC(".maps");

/* all that a lookup or a dump says about a frontend; 0 stands for absent */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, WEFT_DESCRIPTORS_MAX);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct descriptor);
} descriptors SEC(".maps");

/* ranges of backends */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, WEFT_BACKENDS_MAX);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct backend);
} backends SEC(".maps");

/* service ports, so that a dump needs nothing but the pins; 0 stands for none */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, WEFT_SERVICES_MAX);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct name);
} names SEC(".maps");

/* (range set, prefix) -> 1: sources that the set allows; a set is immutable while a descriptor names it */
struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, WEFT_RANGES_MAX);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct range_key);
  __type(value, __u32);
} ranges SEC(".maps");

/* NodePort of TCP, then of UDP -> the service port it is allocated to */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2 * WEFT_PORTS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct node_port);
} node_ports SEC(".maps");

/* number % WEFT_REFUSED_BINDS -> a bind() that was refused */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, WEFT_REFUSED_BINDS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct refused_bind);
} refused_binds SEC(".maps");

/* number of the last refusal */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, __u64);
} refused_binds_count SEC(".maps");

/* the activated sequence */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, __u64);
} active SEC(".maps");

/* sequence % WEFT_ACTIVATIONS -> the cursor that it made live; written before `active` */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, WEFT_ACTIVATIONS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct activation);
} activations SEC(".maps");

/* what is fixed per agent */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct settings);
} settings SEC(".maps");

struct grace {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
};

/* an update of it returns when no program runs that ran before: one grace */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct grace);
} graces SEC(".maps");

#endif
