/** How a bridge treats a port, and where that differs, in the words of `ip link set type bridge_slave`. */
import type { BridgePort } from '../../netlink/route/bridge-port.ts';
import { BRIDGE_PORT_WORDS } from '../../netlink/text/link.ts';
import type { OwnLink } from '../desired-link.ts';
import { Differences } from './kind.ts';

const onOff = (value: boolean | undefined) => (value === undefined ? undefined : value ? 'on' : 'off');

/** `learning on instead of off`. @param actual undefined for a port of no bridge */
export function portDifferences({ bridgePort = {} }: OwnLink, actual: BridgePort = {}): string[] {
  const differences = new Differences();
  for (const [key, word] of BRIDGE_PORT_WORDS) {
    differences.compare(word, onOff(bridgePort[key]), onOff(actual[key]));
  }
  return differences.texts;
}
