/** Every parser of something that comes from outside. A new one is added to a list here, and fuzzed from then on. */
import { forwarderTargets } from './forwarder.ts';
import { frameTargets } from './frames.ts';
import type { FuzzTarget } from './fuzz.ts';
import { grpcTargets } from './grpc.ts';
import { icmpTargets } from './icmp.ts';
import { netlinkTargets } from './netlink.ts';
import { segmentTargets } from './segments.ts';
import { storeTargets } from './store.ts';
import { textTargets } from './texts.ts';

export const fuzzTargets: readonly FuzzTarget[] = [
  ...netlinkTargets,
  ...icmpTargets,
  ...grpcTargets,
  ...storeTargets,
  ...textTargets,
  ...segmentTargets,
  ...forwarderTargets,
  ...frameTargets,
];
