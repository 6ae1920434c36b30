/** Pictures of frames: each shows the very frame that the page about a scenario shows as text. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Layer } from '../../src/inspect/decode/layers.ts';
import { capturedLayers } from '../picture/captured-layers.ts';
import { packetPicture } from '../picture/packet-picture.ts';
import { CHINESE, ENGLISH } from '../picture/words.ts';
import { blocksIn } from './page.ts';
import { LANGUAGES, pagesOf } from './pages.ts';

/** A step whose page shows a frame of a tunnel, and whose the addresses in it are. */
interface ShownPacket {
  readonly step: string;
  /** Of each frame, outer and inner: the sender's MAC address and the receiver's, which are others in every run. */
  readonly macs: readonly (readonly [from: string, to: string])[];
  readonly addresses: Readonly<Record<string, string>>;
}

const PACKETS: Readonly<Record<string, ShownPacket>> = {
  'p2p-vxlan': {
    step: 'capture',
    macs: [
      ['eth0, vm1', 'eth0, vm2'],
      ['vxlan1, vm1', 'vxlan1, vm2'],
    ],
    addresses: {
      '172.31.0.106': 'eth0, vm1',
      '172.31.0.107': 'eth0, vm2',
      '10.0.0.106': 'vxlan1, vm1',
      '10.0.0.107': 'vxlan1, vm2',
    },
  },
  flannel: {
    step: 'capture',
    macs: [
      ['eth0, docker1', 'eth0, docker2'],
      ['flannel.88, docker1', 'flannel.88, docker2'],
    ],
    addresses: {
      '192.168.65.3': 'eth0, docker1',
      '192.168.65.4': 'eth0, docker2',
      '188.172.50.2': 'c1, docker1',
      '188.172.81.2': 'c1, docker2',
    },
  },
};

function ownersIn(layers: readonly Layer[], { macs, addresses }: ShownPacket): Record<string, string> {
  const frames = layers.filter(layer => layer.layer === 'ethernet');
  const owned = frames.flatMap(({ source, destination }, index) => {
    const [from = '', to = ''] = macs[index] ?? [];
    return [
      [`${source}`, from],
      [`${destination}`, to],
    ];
  });
  return { ...Object.fromEntries(owned), ...addresses };
}

const WORDS = { '': ENGLISH, zh: CHINESE } as const;

/** The first frame that the page of each language shows, in its words. */
export function packetsOf(name: string, directory: string): [path: string, text: string][] {
  const packet = PACKETS[name];
  if (packet === undefined) return [];
  return LANGUAGES.flatMap((language, index): [string, string][] => {
    const page = pagesOf(name)[index] ?? '';
    if (!existsSync(page)) return [];
    const block = blocksIn(readFileSync(page, 'utf8')).find(({ id }) => id === packet.step);
    const [layers] = capturedLayers(block?.text ?? '');
    if (layers === undefined) return [];
    const words = WORDS[language];
    const suffix = language === '' ? '' : `.${language}`;
    const picture = packetPicture({ title: name, layers, owners: ownersIn(layers, packet), words });
    return [[join(directory, `${name}-packet${suffix}.svg`), picture]];
  });
}
