import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plotLines } from './plot.ts';

const plot = {
  title: 'a < b',
  x: 'peers',
  y: 'milliseconds',
  series: [
    {
      name: 'slow',
      points: [
        [10, 100],
        [1000, 10_000],
      ] as const,
    },
    {
      name: 'fast',
      points: [
        [10, 10],
        [1000, 1000],
      ] as const,
    },
    { name: 'not measured', points: [] },
  ],
};

const pointsOf = (svg: string) => [...svg.matchAll(/points="([^"]*)"/g)].map(([, points = '']) => points);

test('a factor is the same distance everywhere, and what was not measured is not drawn', () => {
  const svg = plotLines(plot);
  const [slow, fast, ...more] = pointsOf(svg).map(line =>
    line.split(' ').map(point => point.split(',').map(Number)),
  );
  assert.deepEqual(more, []);
  assert.ok(slow && fast);
  const gaps = slow.map(([, y = 0], index) => (fast[index]?.[1] ?? 0) - y);
  assert.equal(gaps[0]?.toFixed(0), gaps[1]?.toFixed(0));
  assert.ok((gaps[0] ?? 0) > 0, 'more milliseconds are higher up');
  assert.match(svg, />slow<.*>fast</s);
  assert.doesNotMatch(svg, /not measured/);
});

test('text is escaped, and a single point has a place', () => {
  assert.match(plotLines(plot), />a &lt; b</);
  const single = plotLines({ ...plot, series: [{ name: 'one', points: [[20_000, 700]] }] });
  assert.match(pointsOf(single)[0] ?? '', /^\d+\.\d,\d+\.\d$/);
  assert.match(single, />20,000</);
});
