import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { smallKernel } from '../../test/support/btf.ts';
import { Btf } from './btf.ts';

const types = () => new Btf(smallKernel());

describe('types of a kernel', () => {
  test('offsets of members: plain, in structs and unions without a name, through members and names of types', () => {
    assert.equal(types().offsetOf('packet', 'list'), 0);
    assert.equal(types().offsetOf('packet', 'list', 'next'), 0);
    assert.equal(types().offsetOf('packet', 'kind'), 10);
    assert.equal(types().offsetOf('packet', 'raw'), 8);
    assert.equal(types().offsetOf('packet', 'owner'), 16);
    assert.equal(types().offsetOf('owner', 'id'), 8);
    assert.equal(types().offsetOf('bits', 'high'), 8);
  });

  test('names of an enum, parameters of a function', () => {
    assert.deepEqual(Array.from(types().enumNames('reason')), [
      [0, 'NONE'],
      [2, 'LOST'],
    ]);
    assert.equal(types().parameterCount('btf_trace_drop'), 2);
  });

  test('what is not there is an error that names it', () => {
    for (const [name, find] of [
      ['nothing', () => types().offsetOf('nothing', 'at', 'all')],
      ['packet.colour', () => types().offsetOf('packet', 'colour')],
      ['packet.owner.id', () => types().offsetOf('packet', 'owner', 'id')],
      // A name of another kind of type.
      ['reason', () => types().offsetOf('reason', 'LOST')],
      ['list', () => types().enumNames('list')],
      ['number_t', () => types().parameterCount('number_t')],
    ] as const) {
      assert.throws(
        find,
        (error: Error & { code?: string }) => error.code === 'NO_TYPE' && error.message.includes(name),
      );
    }
  });

  test('damaged bytes are malformed, whatever is wrong with them', () => {
    const damage: readonly [string, (bytes: Uint8Array, view: DataView) => Uint8Array][] = [
      ['nothing', () => new Uint8Array()],
      ['no magic', bytes => bytes.fill(0, 0, 2)],
      ['cut off', bytes => bytes.subarray(0, bytes.byteLength - 1)],
      ['sections beyond the end', (bytes, view) => (view.setUint32(12, 0xffff_fff0, true), bytes)],
      ['a kind that does not exist', (bytes, view) => (view.setUint32(28, 30 << 24, true), bytes)],
      [
        'more items than there are bytes',
        (bytes, view) => (view.setUint32(28, (4 << 24) | 0xffff, true), bytes),
      ],
      ['half a type', (bytes, view) => (view.setUint32(12, view.getUint32(12, true) - 4, true), bytes)],
    ];
    for (const [what, change] of damage) {
      const bytes = smallKernel();
      const damaged = change(bytes, new DataView(bytes.buffer));
      assert.throws(() => new Btf(damaged), { name: 'CodecError' }, what);
    }
  });

  test('a circle of names ends', () => {
    const bytes = smallKernel();
    const view = new DataView(bytes.buffer);
    // The constant (9th type, found by what it refers to) becomes one of the name that refers to it.
    const at = Array.from({ length: bytes.byteLength / 4 - 2 }, (_, index) => index * 4).find(
      offset => view.getUint32(offset + 4, true) === 10 << 24,
    );
    assert.ok(at !== undefined);
    view.setUint32(at + 8, 10, true);
    assert.throws(() => new Btf(bytes).offsetOf('owner', 'id', 'more'), { name: 'CodecError' });
  });
});
