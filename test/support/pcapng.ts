/** Reads capture files (draft-ietf-opsawg-pcapng), for tests of what writes them: strictly, whatever is odd is an error. */
import assert from 'node:assert/strict';
import { Reader } from '../../src/base/bytes.ts';

export interface ReadInterface {
  readonly linkType: number;
  readonly snapshot: number;
  readonly name: string;
  /** 10 to the minus of it, in seconds. */
  readonly resolution: number;
}

export interface ReadPacket {
  readonly interface: ReadInterface;
  readonly time: bigint;
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly flags: number;
  readonly comment: string;
}

export interface ReadCapture {
  readonly application: string;
  readonly interfaces: readonly ReadInterface[];
  readonly packets: readonly ReadPacket[];
}

/** @throws Error unless it is one section of whole blocks in the byte order of this machine */
export function readPcapng(bytes: Uint8Array): ReadCapture {
  const file = new Reader(bytes, 'pcapng');
  const interfaces: ReadInterface[] = [];
  const packets: ReadPacket[] = [];
  let application = '';
  while (file.remaining > 0) {
    const type = file.u32();
    const length = file.u32();
    assert.equal(length % 4, 0);
    const body = file.sub(length - 12, 'block');
    assert.equal(file.u32(), length);
    if (type === 0x0a0d0d0a) {
      assert.deepEqual([body.u32(), body.u16(), body.u16(), body.u64()], [0x1a2b3c4d, 1, 0, 2n ** 64n - 1n]);
      application = text(options(body).get(4));
    } else if (type === 1) {
      const linkType = body.u16();
      assert.equal(body.u16(), 0);
      const snapshot = body.u32();
      const found = options(body);
      interfaces.push({ linkType, snapshot, name: text(found.get(2)), resolution: found.get(9)?.[0] ?? 6 });
    } else {
      assert.equal(type, 6);
      const of = interfaces[body.u32()];
      assert.ok(of);
      const time = (BigInt(body.u32()) << 32n) + BigInt(body.u32());
      const captured = body.u32();
      const onWire = body.u32();
      const data = Uint8Array.from(body.bytes(captured));
      body.skip(-captured & 3);
      const found = options(body);
      const flags = new Reader(found.get(2) ?? new Uint8Array(4), 'flags').u32();
      packets.push({ interface: of, time, bytes: data, length: onWire, flags, comment: text(found.get(1)) });
    }
  }
  return { application, interfaces, packets };
}

function options(reader: Reader): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (;;) {
    const code = reader.u16();
    const length = reader.u16();
    if (code === 0) break;
    found.set(code, reader.bytes(length));
    reader.skip(-length & 3);
  }
  assert.equal(reader.remaining, 0);
  return found;
}

const text = (bytes: Uint8Array | undefined) => new TextDecoder('utf-8', { fatal: true }).decode(bytes);
