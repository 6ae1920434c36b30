import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../../testing/properties.ts';
import type { ReportDocument } from './collect.ts';
import { reportPage } from './page.ts';

/** With `text` wherever text of a host may be; of status and check only what a page shows. */
const reportWith = (text: string): ReportDocument =>
  JSON.parse(
    JSON.stringify({
      report: 1,
      made: '2026-01-02T03:04:05.678Z',
      version: '0.1.0',
      host: text,
      check: {
        ok: false,
        findings: [
          {
            code: 'FORWARDING_OFF',
            severity: 'error',
            host: text,
            layer: 'routing',
            reason: text,
            evidence: [text],
            remedy: text,
            fixable: true,
          },
        ],
      },
      status: {
        agent: { state: 'ready' },
        network: {},
        conditions: [],
        warnings: [{ code: 'X', title: text, text }],
      },
      hosts: [{ host: text, state: 'ready', subnets: [text] }],
      events: [{ time: 'now', type: 'state', text }],
      parts: [{ title: text, source: text, text }],
      missing: [text],
    }),
  );

/** The document inside of a page, as the comment of page.ts takes it out. */
const inside = (page: string): unknown => {
  const [, json = ''] = /<script id="report" type="application\/json">\n(.*)\n<\/script>/.exec(page) ?? [];
  return JSON.parse(json);
};

test('text of a host is text of the page, whatever it is, and the document inside is whole', () => {
  const nasty = fc.string({
    unit: fc.constantFrom('<', '>', '&', '"', "'", '</script>', '<!--', '<img src=x onerror=a()>', 'a', '\n'),
  });
  fc.assert(
    fc.property(nasty, text => {
      const report = reportWith(text);
      const page = reportPage(report);
      assert.deepEqual(inside(page), report);
      const elements = new Set(
        Array.from(page.matchAll(/<([a-z!/][\w/]*)/gi), ([, name]) => name?.toLowerCase()),
      );
      assert.ok(!elements.has('img'), page);
      assert.equal(page.match(/<script/gi)?.length, 1);
      assert.doesNotMatch(page, /<!--/);
    }),
  );
});

test('nothing of it is obeyed by a terminal that shows the file', () => {
  const text = '\x1b]0;owned\x07\x9b2J\u202e\r';
  const page = reportPage(reportWith(text));
  assert.doesNotMatch(page.replaceAll('\n', ''), /[\p{C}]/u);
  assert.match(page, /\\u001b\]0;owned\\u0007/);
  assert.deepEqual(inside(page), reportWith(text));
});

test('the page needs nothing from elsewhere', () => {
  const page = reportPage(reportWith('x'));
  assert.doesNotMatch(page, /\b(?:src|href)=|@import|url\(/);
  assert.match(page, /default-src 'none'/);
});

test('what is wrong comes before everything else', () => {
  const page = reportPage(reportWith('the host docker1 does not forward'));
  const place = (text: string) => page.indexOf(text);
  assert.ok(place('the host docker1 does not forward') > 0);
  assert.ok(place('What is wrong') < place('<h2>Status</h2>'));
  assert.ok(place('<h2>Status</h2>') < place('<h2>This host</h2>'));
});

test('a host without an agent and without a check has a page as well', () => {
  const { check: _, status: __, hosts: ___, ...rest } = reportWith('x');
  assert.match(reportPage({ ...rest, missing: ['the status: no agent runs'] }), /No agent answers/);
});
