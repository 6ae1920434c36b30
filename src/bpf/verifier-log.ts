/** What the kernel's verifier says of a program that it does not accept (kernel/bpf/log.c). */

/** Lines of the log's end that a message shows. */
const LAST_LINES = 4;
/** `12: (61) r1 = *(u32 *)(r6 +16)`, perhaps with the state of registers behind it. */
const INSTRUCTION = /^(\d+): \([0-9a-f]{2}\) (.*?)(?:\s*;.*)?$/;
/** How much was looked at: always the last line. */
const EFFORT = /^(?:processed \d+ insns|verification time|stack depth)/;

export interface VerifierRefusal {
  /** Which instruction was looked at last; undefined where the log names none. */
  readonly instruction: number | undefined;
  /** For a message: the instruction and the reason. */
  readonly text: string;
}

/** Pure. @param log as the kernel wrote it; it may lack its beginning */
export function refusalIn(log: string): VerifierRefusal {
  const lines = log
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '' && !EFFORT.test(line));
  const last = lines.findLast(line => INSTRUCTION.test(line));
  const number = INSTRUCTION.exec(last ?? '')?.[1];
  return {
    instruction: number === undefined ? undefined : Number(number),
    text: lines.slice(-LAST_LINES).join('; '),
  };
}
