/** For changes of what others may delete at any moment. */
import { isCode } from '../base/errors.ts';

/** Waits for a change, or a deletion, of an object that may be gone already: then there is nothing to do. @throws NetlinkError */
export async function unlessGone(change: Promise<unknown>): Promise<void> {
  try {
    await change;
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'ESRCH', 'ENODEV')) throw error;
  }
}
