/** For changes of what others may delete at any moment. */
import { isCode } from '../base/errors.ts';

/** Waits for a change, or a deletion, of an object that may be gone already: then there is nothing to do. @throws NetlinkError */
export async function unlessGone(change: Promise<unknown>): Promise<void> {
  try {
    await change;
  } catch (error) {
    // EADDRNOTAVAIL: an address that the link does not have.
    if (!isCode(error, 'ENOENT', 'ESRCH', 'ENODEV', 'EADDRNOTAVAIL')) throw error;
  }
}
