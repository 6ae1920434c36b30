/**
 * The sysctls of our devices. Whether they are right is read from their files; events only say when to look:
 *
 *     RTM_NEWNETCONF   from the kernel, for those it announces: forwarding, rp_filter, proxy_arp and proxy_ndp
 *     a watched file   for the others, after a write; not through another mount of /proc
 *     a comparison     whenever the device is looked at, and every few minutes
 */
import type { SysctlFiles } from '../data-plane.ts';
import type { DesiredSysctl } from '../desired.ts';

export interface SysctlRepair {
  readonly found: string;
  readonly wanted: string;
}

export class Sysctls implements Disposable {
  readonly #files: SysctlFiles;
  readonly #onWrite: () => void;
  #desired: readonly DesiredSysctl[] = [];
  readonly #watches = new Map<string, Disposable>();

  /** @param onWrite called after a write to one of them, perhaps of the same value. */
  constructor(files: SysctlFiles, onWrite: () => void) {
    this.#files = files;
    this.#onWrite = onWrite;
  }

  set(desired: readonly DesiredSysctl[]): void {
    this.#desired = desired;
    const paths = new Set(desired.map(({ path }) => path));
    for (const path of this.#watches.keys()) if (!paths.has(path)) this.#unwatch(path);
  }

  get size(): number {
    return this.#desired.length;
  }

  of(link: string): readonly DesiredSysctl[] {
    return this.#desired.filter(desired => desired.link === link);
  }

  /** Whether one of this device is not as it should be. */
  differ(link: string): boolean {
    return this.of(link).some(desired => this.#difference(desired) !== undefined);
  }

  /** Makes it so. Returns what was repaired, if anything. @throws SysError */
  ensure(desired: DesiredSysctl): SysctlRepair | undefined {
    const { path, value } = desired;
    // The device may be another one than before, and its files with it.
    this.#unwatch(path);
    const watch = this.#files.watch(path, this.#onWrite);
    if (watch !== undefined) this.#watches.set(path, watch);
    const found = this.#difference(desired);
    if (found === undefined) return undefined;
    this.#files.write(path, value);
    return { found: `${path} = ${found}`, wanted: `${path} = ${value}` };
  }

  [Symbol.dispose](): void {
    for (const path of this.#watches.keys()) this.#unwatch(path);
  }

  /** The wrong value; undefined for a right one. A kernel without the feature has no file, and needs no setting. */
  #difference({ path, value, whenever }: DesiredSysctl): string | undefined {
    const found = this.#files.read(path);
    if (found === value) return undefined;
    return whenever === undefined || this.#files.read(whenever.path) === whenever.value ? found : undefined;
  }

  #unwatch(path: string): void {
    this.#watches.get(path)?.[Symbol.dispose]();
    this.#watches.delete(path);
  }
}
