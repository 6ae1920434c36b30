/** Which function of the kernel an address is in: /proc/kallsyms, `ffffffff81000000 T _stext\t[module]` a line. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

const KALLSYMS = '/proc/kallsyms';
const LINE = /^([0-9a-f]{16}) [tTwW] ([^\t]+)/;

/**
 * The functions of the kernel that runs. The list has more than 100,000 lines: it is read once for all addresses of a
 * question, and nothing of it is kept but the answers.
 */
export class KernelSymbols {
  readonly #known = new Map<bigint, string | undefined>();
  readonly #lines: () => AsyncIterable<string>;

  constructor(lines: () => AsyncIterable<string> = () => createInterface(createReadStream(KALLSYMS))) {
    this.#lines = lines;
  }

  /** Names by address. A kernel that hides its addresses (kptr_restrict) names none. */
  async functionsAt(addresses: readonly bigint[]): Promise<ReadonlyMap<bigint, string | undefined>> {
    const wanted = addresses.filter(address => !this.#known.has(address));
    if (wanted.length > 0) await this.#read(wanted);
    return new Map(addresses.map(address => [address, this.#known.get(address)]));
  }

  async #read(addresses: readonly bigint[]): Promise<void> {
    // Sixteen digits each: their order as texts is that of the numbers.
    const searches = addresses.map(address => ({
      address,
      digits: address.toString(16).padStart(16, '0'),
      start: ZERO,
      name: undefined as string | undefined,
    }));
    for await (const line of this.#lines()) {
      const [, start, name] = LINE.exec(line) ?? [];
      if (start === undefined || start === ZERO) continue;
      for (const search of searches) {
        if (start <= search.digits && start > search.start) Object.assign(search, { start, name });
      }
    }
    for (const { address, name } of searches) this.#known.set(address, name);
  }
}

const ZERO = '0'.repeat(16);
