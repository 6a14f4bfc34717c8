/* Connections that say which backend they reached. */
#pragma once

/* Backend: accepts connections on all addresses of this machine and says NUMBER, one byte, to each. Does not return. */
int listen_as(int number, int port);

/* Client: see probe.c. Ends with its stdin. */
int probe(long period_us);
