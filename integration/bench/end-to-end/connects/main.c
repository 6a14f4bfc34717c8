/*
 * connects listen NUMBER PORT   a backend
 * connects probe PERIOD_US      a client: at most one connection in each period, while one is expected
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connects.h"

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "listen"))
		return listen_as(atoi(argv[2]), atoi(argv[3]));
	if (argc == 3 && !strcmp(argv[1], "probe"))
		return probe(atol(argv[2]));
	fprintf(stderr, "connects listen NUMBER PORT | probe PERIOD_US\n");
	return 2;
}
