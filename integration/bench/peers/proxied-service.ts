/** A service port as the rules of kube-proxy see it. */

export type RuleFamily = 4 | 6;

export interface ProxiedService {
  readonly namespace: string;
  readonly name: string;
  /** Name of the port. */
  readonly portName: string;
  readonly protocol: "tcp" | "udp";
  /** ClusterIP. */
  readonly address: string;
  readonly port: number;
  /** At least one. */
  readonly endpoints: readonly ProxiedEndpoint[];
}

export interface ProxiedEndpoint {
  readonly address: string;
  readonly port: number;
}

/** "10.0.0.1:80", "[fd00::1]:80" */
export function printEndpoint({ address, port }: ProxiedEndpoint): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
