/**
 * Rules of dockerd that keep the overlay from containers. Since version 28 it drops what comes to a container
 * otherwise than through its bridge (moby, daemon/libnetwork/drivers/bridge), in two places:
 *
 *     raw     PREROUTING  -d 172.18.0.2/32 ! -i br-1 [-p tcp -m tcp --dport 80] -j DROP     per container, or port
 *     filter  DOCKER      ! -i br-1 -o br-1 -j DROP                                         per bridge
 *
 * The second is reached from FORWARD before the end, where flannel's chain is.
 */
import type { SavedTable } from './iptables-save.ts';

/** Whether one of these rules of PREROUTING drops what comes to a container from elsewhere. */
export function dropsInRaw(rules: readonly string[]): boolean {
  return rules.some(rule => /^-d \S+ ! -i \S+ (-p \S+ -m \S+ --dport \S+ )?-j DROP$/.test(rule));
}

/** Whether forwarded packets are dropped unless they come from the bridge they go to. */
export function dropsInForward(filter: SavedTable | undefined): boolean {
  return filter?.get('DOCKER')?.rules.some(rule => /^! -i (\S+) -o \1 -j DROP$/.test(rule)) === true;
}

/** Whether a rule of FORWARD leads there: DOCKER-FORWARD since 28.0.1, and DOCKER itself before. */
export function leadsToDrop(rule: string): boolean {
  return /(^| )-j (DOCKER-FORWARD|DOCKER)$/.test(rule);
}
