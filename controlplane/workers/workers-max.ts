/** Most worker threads of `--workers`. More have no gain: each holds an index of the catalog of its own. */
export const workersMax = 64;
