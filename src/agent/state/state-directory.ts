/**
 * What this host keeps over restarts and reboots: who it is. Peers know a host by its VTEP MACs, and the registry
 * by its host id, so both must outlive the process.
 *
 *     <state-dir>/identity.json   {"version":1,"hostId":"<uuid>","macs":{"flannel.88":"c6:d2:32:6f:8f:44"}}
 *
 * The MAC of a new device follows from the host id and the device's name; one of a device that was there before
 * us is taken over. What the hardware says of this host is no part of the file: a copy of the disk must not have it.
 * `save` stores what has been used since. A directory that cannot be read or written never keeps
 * the agent from working: it goes on with what it has, says so, and saves when it can.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { isCode, messageOf } from '../../base/errors.ts';
import { Mac } from '../../base/mac.ts';
import type { DurableIdentity } from '../../network/host-plan.ts';
import type { ConditionFailure } from '../../network/reports.ts';
import { removeUnfinished, writeFileAtomic } from '../../sys/file.ts';
import { MAC_TEXT } from './mac-text.ts';

const IdentityFile = v.object({
  version: v.literal(1),
  hostId: v.pipe(v.string(), v.uuid()),
  macs: v.record(v.string(), MAC_TEXT),
});

/** Of the machine or virtual machine, for root alone (Documentation/ABI/stable/sysfs-firmware-dmi in Linux). */
const PRODUCT_UUID = '/sys/class/dmi/id/product_uuid';

export class Identity implements DurableIdentity {
  readonly #path: string;
  readonly #macs: Map<string, Mac>;
  readonly hostId: string;
  readonly #hardware: string | undefined;
  #saved: boolean;
  #failure: ConditionFailure | undefined;

  private constructor(path: string, hardware: string | undefined, file?: v.InferOutput<typeof IdentityFile>) {
    this.#path = path;
    this.#hardware = hardware;
    this.hostId = file?.hostId ?? randomUUID();
    this.#macs = new Map(Object.entries(file?.macs ?? {}).map(([name, text]) => [name, Mac.parse(text)]));
    this.#saved = file !== undefined;
  }

  /** Reads the identity of this host, or makes a new one. Never fails; see `failure`. */
  static async open(directory: string): Promise<Identity> {
    const hardware = await readFile(PRODUCT_UUID, 'utf8').catch(() => undefined);
    const path = join(directory, 'identity.json');
    await removeUnfinished(path);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      const identity = new Identity(path, hardware);
      if (isCode(error, 'ENOENT')) await identity.save();
      else identity.#failure = unreadable(path, error);
      return identity;
    }
    try {
      return new Identity(path, hardware, v.parse(IdentityFile, JSON.parse(text)));
    } catch {
      // Kept as evidence of what happened; a new identity takes its place.
      await rename(path, `${path}.damaged`).catch(() => undefined);
      const identity = new Identity(path, hardware);
      await identity.save();
      return identity;
    }
  }

  /** Makes this host the one with this id, which it was before it lost its directory. @throws why it is not written */
  static async become(directory: string, hostId: string): Promise<void> {
    const identity = new Identity(join(directory, 'identity.json'), undefined, {
      version: 1,
      hostId,
      macs: {},
    });
    identity.#saved = false;
    await identity.save();
    if (identity.#failure !== undefined) throw new Error(identity.#failure.reason);
  }

  /** Why the identity is not on disk; undefined when it is. */
  get failure(): ConditionFailure | undefined {
    return this.#failure;
  }

  /**
   * What only this machine has, and publishes: made of the firmware's UUID and the MAC address of the underlay, as far
   * as there are any. It outlives the disk, and differs between a virtual machine and its clone.
   */
  machine(underlay: Mac | undefined): string | undefined {
    const mac = underlay?.isUnicast === true ? underlay.toString() : undefined;
    if (this.#hardware === undefined && mac === undefined) return undefined;
    return createHash('sha256').update(`${this.#hardware?.trim()}/${mac}`).digest('hex').slice(0, 16);
  }

  mac(linkName: string): Mac {
    const known = this.#macs.get(linkName);
    if (known !== undefined) return known;
    const digest = createHash('sha256').update(`${this.hostId}/${linkName}`).digest();
    const mac = this.#macOfKin(linkName) ?? Mac.random(count => digest.subarray(0, count));
    this.#macs.set(linkName, mac);
    this.#saved = false;
    return mac;
  }

  /**
   * A device that takes the place of another, because the VNI changed, has its MAC: a flannel host, which reads the
   * VNI only when it starts, sends to the MAC of the newest lease with the VNI of the oldest.
   */
  #macOfKin(linkName: string): Mac | undefined {
    const [kin] = /^.*\./.exec(linkName) ?? [];
    if (kin === undefined) return undefined;
    return Array.from(this.#macs).findLast(([name]) => name.startsWith(kin))?.[1];
  }

  /**
   * Takes over the MAC of a device that was there before this host ever had one of that name, so that its peers
   * keep reaching it. A MAC that is known already stays: the device is then wrong, not we.
   */
  adopt(linkName: string, mac: Mac): void {
    if (!mac.isUnicast || this.#macs.has(linkName)) return;
    this.#macs.set(linkName, mac);
    this.#saved = false;
  }

  /** Writes what has changed; a failure is kept in `failure`. */
  async save(): Promise<void> {
    if (this.#saved) return;
    const macs = Object.fromEntries(Array.from(this.#macs, ([name, mac]) => [name, mac.toString()]));
    try {
      await writeFileAtomic(
        this.#path,
        `${JSON.stringify({ version: 1, hostId: this.hostId, macs } satisfies v.InferInput<typeof IdentityFile>)}\n`,
        { mode: 0o600, directoryMode: 0o700 },
      );
      this.#saved = true;
      this.#failure = undefined;
    } catch (error) {
      this.#failure = {
        code: 'STATE_NOT_SAVED',
        reason: `the identity of this host could not be saved: ${messageOf(error)}`,
        hint: `until ${this.#path} can be written, a restart may give this host a new subnet`,
      };
    }
  }
}

function unreadable(path: string, error: unknown): ConditionFailure {
  return {
    code: 'STATE_NOT_READABLE',
    reason: `the identity of this host could not be read: ${messageOf(error)}`,
    hint: `make ${path} readable and restart the agent`,
  };
}
