/** The address of a device of an overlay, which is known by it to peers and to whoever looks for its owner. */
import { ADDRESS_BITS } from '../base/ip.ts';
import type { Prefix } from '../base/prefix.ts';
import type { DesiredAddress } from '../dataplane/desired.ts';

/** The base address of the leased subnet, alone, as flannel has it. */
export const baseAddress = (link: string, { ip }: Prefix): DesiredAddress => ({
  link,
  address: { ip, length: ADDRESS_BITS[ip.family] },
});
