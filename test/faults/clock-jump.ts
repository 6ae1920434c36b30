/**
 * Loaded into an agent before its own code (`node --import`), to make its wall clock jump: SIGUSR2 reads by how many
 * milliseconds from the file that TT_CLOCK_FILE names. Linux has no namespace for this clock, and other programs of
 * this machine must keep theirs. All that a JavaScript program knows of the wall clock it knows from `Date`, our
 * libraries included; timers are of the kernel's monotonic clock, which does not jump, and are left alone. What is
 * not reached is OpenSSL, which checks certificates by a clock of its own.
 */
import { readFileSync } from 'node:fs';
import process from 'node:process';

const RealDate = Date;
let offset = 0;

class JumpingDate extends RealDate {
  constructor(...args: [] | [number | string | Date]) {
    if (args.length === 0) super(RealDate.now() + offset);
    else super(...args);
  }

  static override now(): number {
    return RealDate.now() + offset;
  }
}

// Dates without `new`, or of more than one number, are made by nobody here.
globalThis.Date = JumpingDate as DateConstructor;

process.on('SIGUSR2', () => {
  offset = Number(readFileSync(process.env['TT_CLOCK_FILE'] ?? '', 'utf8'));
});
