/** The Backend object of a network configuration when its Type is vxlan (flannel pkg/backend/vxlan/vxlan.go). */
import { defined } from '../base/defined.ts';
import type { Problem } from '../base/errors.ts';
import { Fields } from '../base/fields.ts';
import { mtuOption, portOption, unusedOptions } from './options.ts';

export interface VxlanOptions {
  readonly vni: number;
  /** UDP port; undefined for the kernel's own default. */
  readonly port?: number;
  /** MTU of the underlay, from which the overhead is taken; undefined for that of the interface. */
  readonly mtu?: number;
  readonly gbp: boolean;
  readonly learning: boolean;
  /** Peers on the underlay's link are reached without the tunnel. */
  readonly directRouting: boolean;
}

/** 24 bits on the wire (RFC 7348); 0 is the segment of switches that have none. */
const VNI = { min: 1, max: 0xffffff };

/**
 * Appends to `problems` whatever is wrong, and to `warnings` what has no effect; the result is of use only when nothing
 * is wrong. Zero means "not set".
 */
export function parseVxlanOptions(
  options: Readonly<Record<string, unknown>>,
  problems: Problem[],
  warnings: Problem[] = [],
): VxlanOptions {
  const fields = new Fields(options, 'Backend', problems);
  const device = readVxlanDevice(fields);
  const directRouting = fields.flag('DirectRouting') ?? false;
  warnings.push(...unusedOptions(fields, 'vxlan'));
  return { ...device, directRouting };
}

/** What says how the device is. */
export function readVxlanDevice(fields: Fields): Omit<VxlanOptions, 'directRouting'> {
  const vni = fields.integer('VNI', VNI) ?? 1;
  const port = portOption(fields);
  const mtu = mtuOption(fields);
  const gbp = fields.flag('GBP') ?? false;
  const learning = fields.flag('Learning') ?? false;
  return { vni, gbp, learning, ...defined({ port, mtu }) };
}
