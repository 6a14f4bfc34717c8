/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Sizes of maps and bounds of loops. The agent makes the maps in the sizes of its flags, with room for what two revisions
 * hold at once (nodeagent/dataplane/kernel/map-sizes.ts); what stands here is the default without that room.
 */
#ifndef WEFT_LIMITS_H
#define WEFT_LIMITS_H

#define WEFT_FRONTENDS_MAX 262144 /* --frontends-max */
#define WEFT_BACKENDS_MAX 1048576 /* --backends-max */
#define WEFT_SERVICES_MAX 65536   /* --services-max: service ports, one name each */

#define WEFT_CIDRS_MAX 256 /* service CIDRs of the old and the new revision */

#define WEFT_RANGES_MAX 65536 /* source ranges of load-balancer IPs, of the old and the new revision */

/* A frontend and its address each have a state, and so has each CIDR. */
#define WEFT_STATES_MAX (2 * WEFT_FRONTENDS_MAX + WEFT_CIDRS_MAX)

/* Frontends share them, at worst each has its own; 24 bits of a word hold the index. */
#define WEFT_DESCRIPTORS_MAX WEFT_FRONTENDS_MAX
#define WEFT_DESCRIPTOR_BITS 24

#define WEFT_ACTIVATIONS 64 /* ring of the last activations */

#define WEFT_UDP_FLOWS_MAX 65536     /* sticky choices of unconnected UDP sockets, 104 bytes each */
#define WEFT_REVERSE_FLOWS_MAX 65536 /* replies to unconnected UDP sockets, 88 bytes each */

#define WEFT_AFFINITY_FLOWS_MAX 65536 /* clients of service ports with session affinity, 96 bytes each */

#define WEFT_CONNECTION_SLOTS 65536 /* TCP connections remembered in place, 64 bytes each; others cost 0.3 to 0.5 us more */

#define WEFT_UDP_PEERS 65536 /* counts of connected UDP sockets, by a hash of frontend and backend */

#define WEFT_PORTS 65536      /* of one protocol */
#define WEFT_REFUSED_BINDS 64 /* ring of the last binds that were refused */

#define WEFT_READS_MAX 4          /* reads of a pair of words until two agree */
#define WEFT_LOOKUPS_MAX 4        /* lookups until no revision became active meanwhile */
#define WEFT_CIDR_STEPS_MAX 4     /* CIDRs of one address: one of the old and one of the new revision, doubled */
#define WEFT_SEARCH_STEPS_MAX 20  /* log2(WEFT_BACKENDS_MAX) */

#endif
