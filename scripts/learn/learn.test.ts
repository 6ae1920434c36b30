import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import type { StepReport } from '../../src/lab/scenario/scenario.ts';
import { masked } from './mask.ts';
import { blocksIn, filled } from './page.ts';
import { GUIDE } from './pages.ts';

const report: StepReport = {
  title: 'Lay a cable',
  on: 'vm1',
  why: 'It carries frames.',
  command: 'ip link',
  equivalent: '',
  seen: 'eth0 UP',
  transcript: [{ on: 'vm1', line: 'ip link', output: 'eth0 UP' }],
  checks: [{ expected: 'it is up', seen: 'UP', passed: true }],
};

describe('pages of the guide', () => {
  const page = 'Before.\n\n<!-- step a -->\nold\n<!-- end -->\n\n<!-- output a -->\n<!-- end -->\nAfter.\n';

  test('have what a step printed between their marks, and the prose as it was', () => {
    const text = filled(page, new Map([['a', report]]));
    const shown = '```text\nvm1# ip link\neth0 UP\n\nok  it is up: UP\n```\n';
    assert.equal(
      text,
      `Before.\n\n<!-- step a -->\n## Lay a cable\n\nIt carries frames.\n\n${shown}<!-- end -->\n\n<!-- output a -->\n${shown}<!-- end -->\nAfter.\n`,
    );
    assert.equal(filled(text, new Map([['a', report]])), text);
    assert.deepEqual(
      blocksIn(text).map(({ kind, id }) => [kind, id]),
      [
        ['step', 'a'],
        ['output', 'a'],
      ],
    );
  });

  test('differ from another run in nothing that changes by itself', () => {
    const run = (mac: string, ms: string, state: string) =>
      `64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=${ms} ms\n10.0.0.1 dev eth0 lladdr ${mac} ${state}\nmtu 1450`;
    assert.equal(
      masked(run('0e:1d:01:f1:93:04', '0.03', 'STALE')),
      masked(run('5a:fa:52:57:28:19', '12.1', 'REACHABLE')),
    );
  });

  test('do not differ in where a line is folded', () => {
    assert.equal(
      masked('64 bytes from 10.0.0.1: time=0.1\n    ms'),
      masked('64 bytes from 10.0.0.1: time=10.123 ms'),
    );
  });

  test('differ in no identifier, checksum or rate', () => {
    const run = (uuid: string, lease: string, id: number, checksum: string, rate: string) =>
      `"TulleHost":"${uuid}" ${lease} length 134, id ${id}, checksum ${checksum} 256 MBytes ${rate} sender`;
    assert.equal(
      masked(
        run('ea2b964d-9c25-42fa-b7e3-0123456789ab', '694da228b69dd10b', 13508, '0x424b', '3330 Mbits/sec 2'),
      ),
      masked(
        run('38a8a494-e3ee-4087-bd22-ba9876543210', '694da228b7582113', 7, '0x9ada', '10.5 Mbits/sec 358'),
      ),
    );
  });

  test('do not differ in how much is lost by chance', () => {
    assert.equal(masked('26 of 30 answered, 7 lost'), masked('28 of 30 answered, 3 lost'));
    assert.equal(masked('counter packets 7 bytes 700 drop'), masked('counter packets 9 bytes 3 drop'));
  });

  test('differ where a reader would learn something else', () => {
    for (const [one, other] of [
      ['mtu 1450', 'mtu 1500'],
      ['ttl=62', 'ttl=63'],
      ['10.0.0.1 dev eth0', '10.0.0.2 dev eth0'],
      ['2 of 2 answered', '0 of 2 answered'],
      ['2 of 2 answered', '1 of 2 answered'],
      [
        '30 packets transmitted, 26 received, 13.3% packet loss',
        '30 packets transmitted, 0 received, 100% packet loss',
      ],
      ['counter packets 0 bytes 0', 'counter packets 3 bytes 252'],
      ['vxlan id 88', 'vxlan id 89'],
      ['ttl 63, protocol 1, length 1450, id 7', 'ttl 63, protocol 1, length 1500, id 7'],
    ] as const)
      assert.notEqual(masked(one), masked(other));
  });

  test('lead to pages and headings that are there', () => {
    const broken = globSync(`${GUIDE}/**/*.md`).flatMap(path =>
      [...readFileSync(path, 'utf8').matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].flatMap(
        ([link, file = '', anchor]) => {
          const target = file === '' ? path : join(dirname(path), file);
          const text = textOf(target);
          if (text !== undefined && (anchor === undefined || anchorsIn(text).includes(anchor))) return [];
          return [`${path}: ${link}`];
        },
      ),
    );
    assert.deepEqual(broken, []);
  });
});

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** As GitHub makes them of headings. */
const anchorsIn = (text: string) =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
