/**
 * Tests that packets of containers may meet run twice, with the fast path on and off (scripts/fast-path-off.ts). Within such a
 * file, what has no fast path in either case is the same test twice: it is left out of the second run.
 */

/** Whether agents have no fast path now, and these tests have run with it. */
export const isFastPathOff = process.env['TULLE_FAST_PATH'] === 'off';

/** Backends that carry packets of containers through a VXLAN device, which is where a fast path can be. */
const WITH_FAST_PATH = ['vxlan', 'auto'];

/** @param type of a backend, as in the configuration of a network */
export const hasFastPath = (type: string): boolean => WITH_FAST_PATH.includes(type);
