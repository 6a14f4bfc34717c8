import type { ClusterShape } from "../cluster.ts";

/** "10,000 x 25" */
export function printShape({ services, endpoints }: ClusterShape): string {
  return `${services.toLocaleString("en-US")} x ${endpoints}`;
}
