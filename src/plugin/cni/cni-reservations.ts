/**
 * Which addresses `tulle-ipam` has given out, and for what: a file for each container in the state of the agent, so that one
 * more costs the same however many there are.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { isCode } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { byFamily, type PerFamily, valuesOf } from '../../base/per-family.ts';
import { writeFileAtomic } from '../../sys/file.ts';

export interface CniReservation {
  /** As of an attachment. */
  readonly id: string;
  readonly network: string;
  readonly addresses: PerFamily<Ip>;
}

const ReservationShape = v.object({
  id: v.string(),
  network: v.string(),
  ips: v.array(v.pipe(v.string(), v.transform(Ip.tryParse))),
});

export class CniReservations {
  readonly #directory: string;
  readonly #byId = new Map<string, CniReservation>();

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * @param directory is made when it is needed
   * @param onDamaged is told of a file that is none of ours; its addresses are free then
   */
  static open(directory: string, onDamaged: (path: string) => void): CniReservations {
    const reservations = new CniReservations(directory);
    for (const name of namesIn(directory)) {
      if (!/^[0-9a-f]{64}\.json$/.test(name)) continue;
      const path = join(directory, name);
      const reservation = parseReservation(readFileSync(path, 'utf8'));
      if (reservation === undefined) onDamaged(path);
      else reservations.#byId.set(reservation.id, reservation);
    }
    return reservations;
  }

  get(id: string): CniReservation | undefined {
    return this.#byId.get(id);
  }

  list(): readonly CniReservation[] {
    return [...this.#byId.values()];
  }

  /** On the disk when the promise settles. @throws Error of the file system */
  async set(reservation: CniReservation): Promise<void> {
    await writeFileAtomic(this.#pathOf(reservation.id), formatReservation(reservation), { mode: 0o600 });
    this.#byId.set(reservation.id, reservation);
  }

  async delete(id: string): Promise<void> {
    await rm(this.#pathOf(id), { force: true });
    this.#byId.delete(id);
  }

  #pathOf(id: string): string {
    return join(this.#directory, `${createHash('sha256').update(id).digest('hex')}.json`);
  }
}

export const formatReservation = ({ id, network, addresses }: CniReservation): string =>
  `${JSON.stringify({ id, network, ips: valuesOf(addresses) })}\n`;

/** undefined for what `formatReservation` would not write. */
export function parseReservation(text: string): CniReservation | undefined {
  try {
    const { id, network, ips } = v.parse(ReservationShape, JSON.parse(text));
    const known = ips.filter(ip => ip !== undefined);
    return known.length === ips.length ? { id, network, addresses: byFamily(...known) } : undefined;
  } catch {
    return undefined;
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}
