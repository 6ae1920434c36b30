import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printableLines } from '../base/printable.ts';
import { LogOutput, logTo } from './daemon-log.ts';

/** A log on a disk that has room for so many bytes more. */
function setUp(room: number) {
  const disk = { room, text: '' };
  const output = new LogOutput(printableLines, bytes => {
    const taken = bytes.subarray(0, disk.room);
    if (taken.length === 0) throw Object.assign(new Error('write'), { code: 'ENOSPC' });
    disk.room -= taken.length;
    disk.text += Buffer.from(taken).toString();
    return taken.length;
  });
  return { disk, log: logTo(output, 0) };
}

const lines = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>);

test('a line is JSON with level, time and message', () => {
  const { disk, log } = setUp(1000);
  log.warn({ peer: 'x' }, 'gone');
  log.debug({}, 'not written');
  const [line, ...more] = lines(disk.text);
  assert.deepEqual([line?.['level'], line?.['peer'], line?.['msg'], more], ['warn', 'x', 'gone', []]);
  assert.equal(new Date(String(line?.['time'])).toISOString(), line?.['time']);
});

test('-v 1 also logs what led to a change', () => {
  let text = '';
  const output = new LogOutput(printableLines, bytes => {
    text += Buffer.from(bytes).toString();
    return bytes.length;
  });
  logTo(output, 1).debug({}, 'why');
  assert.deepEqual(
    lines(text).map(({ level, msg }) => [level, msg]),
    [['debug', 'why']],
  );
});

test('what there is no room for is lost, counted, and reported when there is room again', () => {
  const { disk, log } = setUp(0);
  for (let index = 0; index < 3; index++) log.info({ index }, 'lost');
  assert.equal(disk.text, '');
  disk.room = 1000;
  log.info({}, 'back');
  const [loss, back] = lines(disk.text);
  assert.deepEqual([loss?.['count'], back?.['msg']], [3, 'back']);
  log.info({}, 'and on');
  assert.equal(lines(disk.text).length, 3);
});

test('a line of which only the beginning was written is ended before the next', () => {
  const { disk, log } = setUp(20);
  log.info({}, 'torn');
  assert.equal(disk.text.length, 20);
  disk.room = 1000;
  log.info({}, 'whole');
  assert.deepEqual(
    lines(disk.text.slice(21)).map(({ msg }) => msg),
    ['lines of this log could not be written and are lost', 'whole'],
  );
});

test('a disk that takes a part at a time gets all of it', () => {
  const parts: string[] = [];
  const output = new LogOutput(printableLines, bytes => {
    parts.push(Buffer.from(bytes.subarray(0, 7)).toString());
    return Math.min(7, bytes.length);
  });
  output.write('{"msg":"a line of some length"}\n');
  assert.equal(parts.join(''), '{"msg":"a line of some length"}\n');
});

test('I1: a line holds nothing that a terminal obeys, and is the same JSON', () => {
  const { disk, log } = setUp(1000);
  const key = 'a\u009b2J\u202e\u001b\n';
  log.warn({ key }, `the lease ${key} is not used`);
  assert.match(disk.text, /^[\x20-\x7e]+\n$/);
  assert.equal(lines(disk.text)[0]?.['key'], key);
});
