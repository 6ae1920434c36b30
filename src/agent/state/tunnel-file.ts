/**
 * The tunnels of this host on its disk, and what was done to other links for them.
 *
 *     <state-dir>/tunnels.json    those that the agent keeps over restarts
 *     /run/tulle/tunnels.json     those made with `--once`, which are gone after a restart of the host like this file
 *
 *     {"version":1,"boot":"<uuid>","tunnels":[{"request":{...},"mac":"02:..","bridge":"br-.."}],"fitted":[...]}
 *
 * `fitted` is of the run of the kernel that `boot` names: another one knows nothing of those links.
 */
import { readFile, rename, rm } from 'node:fs/promises';
import * as v from 'valibot';
import { TunnelRequest } from '../../api/tunnels.ts';
import { defined } from '../../base/defined.ts';
import { isCode } from '../../base/errors.ts';
import { Mac } from '../../base/mac.ts';
import type { KeptTunnel, KeptTunnels, TunnelStorage } from '../../network/tunnel/kept.ts';
import { removeUnfinished, writeFileAtomic } from '../../sys/file.ts';
import { MAC_TEXT } from './mac-text.ts';

/** Of the running kernel (Documentation/admin-guide/sysctl/kernel.rst, random). */
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

const whole = v.pipe(v.number(), v.integer(), v.minValue(0));

const TunnelsInFile = v.object({
  version: v.literal(1),
  boot: v.string(),
  tunnels: v.array(v.object({ request: TunnelRequest, mac: MAC_TEXT, bridge: v.exactOptional(v.string()) })),
  fitted: v.array(
    v.object({
      bridge: v.string(),
      netns: whole,
      index: whole,
      name: v.string(),
      port: whole,
      was: whole,
      now: whole,
    }),
  ),
});

/** Its name in a state directory, or in that of the agent's socket. */
export const TUNNEL_FILE = 'tunnels.json';

export interface OpenTunnelFile {
  readonly storage: TunnelStorage;
  readonly kept: KeptTunnels;
}

const NOTHING: KeptTunnels = { tunnels: [], fitted: [] };

export class TunnelFile implements TunnelStorage {
  readonly #path: string;
  readonly #boot: string;

  private constructor(path: string, boot: string) {
    this.#path = path;
    this.#boot = boot;
  }

  /** Reads what there is. What makes no sense is put aside as `.damaged`; never fails. @param isAlone no other process writes it. */
  static async open(path: string, isAlone = false): Promise<OpenTunnelFile> {
    const boot = (await readFile(BOOT_ID, 'utf8')).trim();
    const storage = new TunnelFile(path, boot);
    if (isAlone) await removeUnfinished(path);
    try {
      const text = await readFile(path, 'utf8');
      return { storage, kept: keptOf(v.parse(TunnelsInFile, JSON.parse(text)), boot) };
    } catch (error) {
      if (!isCode(error, 'ENOENT')) await rename(path, `${path}.damaged`).catch(() => undefined);
      return { storage, kept: NOTHING };
    }
  }

  async save({ tunnels, fitted }: KeptTunnels): Promise<void> {
    if (tunnels.length === 0 && fitted.length === 0) return rm(this.#path, { force: true });
    const content = {
      version: 1,
      boot: this.#boot,
      tunnels: tunnels.map(({ request, mac, bridge }) => ({
        request,
        mac: mac.toString(),
        ...defined({ bridge }),
      })),
      fitted: fitted.map(one => ({ ...one })),
    } satisfies v.InferInput<typeof TunnelsInFile>;
    await writeFileAtomic(this.#path, `${JSON.stringify(content)}\n`, { mode: 0o600, directoryMode: 0o755 });
  }
}

function keptOf({ boot, tunnels, fitted }: v.InferOutput<typeof TunnelsInFile>, now: string): KeptTunnels {
  return {
    tunnels: tunnels.map(
      ({ request, mac, bridge }): KeptTunnel => ({ request, mac: Mac.parse(mac), ...defined({ bridge }) }),
    ),
    fitted: boot === now ? fitted : [],
  };
}
