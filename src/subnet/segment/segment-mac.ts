/** MAC addresses that follow from a network: the same on every host and after every restart, without a record. */
import { createHash } from 'node:crypto';
import { Mac } from '../../base/mac.ts';
import type { Segment } from './segment.ts';

/** Of the bridge of every host: a container that moves finds its gateway under the address that it knows. */
export function gatewayMac({ id }: Pick<Segment, 'id'>): Mac {
  return derivedMac(`gateway of ${id}`);
}

/** A locally administered address that nothing but this text has. */
export function derivedMac(text: string): Mac {
  const bytes = createHash('sha256').update(`tulle ${text}`).digest();
  return Mac.random(count => bytes.subarray(0, count));
}
