/** What the kernel tells of itself, and of the packets that it drops. */
import { parseHex, written } from '../../src/base/bytes.ts';
import { CodecError } from '../../src/base/errors.ts';
import { Btf } from '../../src/bpf/btf.ts';
import { BpfError } from '../../src/bpf/errors.ts';
import { EVENT } from '../../src/inspect/drops/drop-program.ts';
import { DropReasons } from '../../src/inspect/drops/drop-reasons.ts';
import { decodeDrop, layersOfDrop } from '../../src/inspect/drops/kernel-drop.ts';
import { smallKernel } from '../support/btf.ts';
import type { FuzzTarget } from './fuzz.ts';

const REASONS = new DropReasons(new Map([[3, 'SKB_DROP_REASON_NO_SOCKET']]));

const dropEvent = (protocol: number, packet: string) =>
  written(writer => {
    writer.zeros(EVENT.protocol).u16be(protocol).u16(0).u32(0xff).bytes(new TextEncoder().encode('eth0'));
    writer.zeros(EVENT.packet - writer.length).bytes(parseHex(packet));
    writer.zeros(EVENT.size - writer.length);
  });

export const bpfTargets: readonly FuzzTarget[] = [
  {
    name: 'types of the kernel',
    seeds: [smallKernel()],
    accepts(input) {
      try {
        const types = new Btf(input);
        types.offsetOf('packet', 'kind');
        types.offsetOf('owner', 'id');
        types.enumNames('reason');
        types.parameterCount('btf_trace_drop');
        return true;
      } catch (error) {
        if (error instanceof CodecError || error instanceof BpfError) return false;
        throw error;
      }
    },
  },
  {
    name: 'events of dropped packets',
    seeds: [
      dropEvent(0x0800, '45000020 37c14000 4001828d bcac0300 bcac0402 0800bd26 1b730001 01020304'),
      dropEvent(0x0806, '0001 0800 0604 0001 020000000003 c0a84103 000000000000 c0a84104'),
    ],
    accepts(input) {
      try {
        layersOfDrop(decodeDrop(input, REASONS, 0));
        return true;
      } catch (error) {
        if (error instanceof CodecError) return false;
        throw error;
      }
    },
  },
];
