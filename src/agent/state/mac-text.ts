/** The MAC address of a device in a file of state. */
import * as v from 'valibot';
import { Mac } from '../../base/mac.ts';

export const MAC_TEXT = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/),
  v.check(text => Mac.parse(text).isUnicast, 'want the address of one station'),
);
